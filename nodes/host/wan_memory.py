"""What training on a MODEL of Wan holds at its peak, found by running a step on tensors without data."""

from __future__ import annotations

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...motion_lib.backbones.accelerate.estimate import activation_bytes, without_data
from ...motion_lib.backbones.accelerate.training_modes import flat, unflat
from ...motion_lib.diffusion.conditioning import Conditioning
from ...motion_lib.method.embedding import MotionEmbedding
from ...motion_lib.method.patch import MotionPatch
from .session import in_training
from .wan import ATTENTION, RECOMPUTE, with_gradient, with_replacements


def training_bytes(
    model: ModelPatcher, latents: Tensor, conditioning: Conditioning, embedding: MotionEmbedding, recompute: bool
) -> int:
    """Beside the loaded model, for clean latents `[1, c, f, h, w]`."""
    wan, dtype = model.model.diffusion_model, model.model.manual_cast_dtype or model.model.get_dtype()
    frames, size = latents.shape[2], latents.shape[3:]
    empty = embedding.with_tensors({k: t.detach().to("meta") for k, t in embedding.tensors.items()})
    with torch.inference_mode(False), in_training():
        patch = MotionPatch(empty).prepare(frames, size, "meta", dtype)
        keys, tensors = flat([patch.each(lambda m: m.detach().requires_grad_())])
        copy = without_data(wan, wan)
        channels = wan.patch_embedding.weight.shape[1]
        inputs = [
            torch.empty(1, channels, frames, *size, device="meta", dtype=dtype),
            torch.empty(1, device="meta"),
            torch.empty(conditioning.text.shape, device="meta", dtype=dtype),
        ]

        def step(x: Tensor, timesteps: Tensor, text: Tensor, *tensors: Tensor) -> Tensor:
            given = {ATTENTION: with_gradient, RECOMPUTE: recompute}
            options = with_replacements(given, unflat(keys, tensors), copy.blocks, frames)
            return copy(x, timesteps, text, transformer_options=options)

        activations = activation_bytes(step, [*inputs, *tensors])
    # Learned tensors in float32 with gradient and two moments, and once more as the model sees them.
    learned = 4 * 4 * sum(t.numel() for t in embedding.tensors.values())
    return activations + learned + sum(t.nbytes for t in tensors)
