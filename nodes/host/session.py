"""A loaded MODEL for as long as training or inversion takes: memory, gradients, progress, previews."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management as management
import comfy.utils
import latent_preview
import torch
from comfy.model_patcher import ModelPatcher
from PIL import Image
from torch import Tensor

PREVIEW_EVERY = 1.0  # seconds
PREVIEW_SIZE = 512  # pixels


@contextmanager
def loaded(
    model: ModelPatcher, shape: tuple[int, ...], needed: float | None = None, vae: Any = None
) -> Iterator[torch.device]:
    """The device on which the whole MODEL now is, other models having made room; gradients are possible inside.

    shape: of the latents as the host has them. needed: bytes beside the model; the host's estimate for sampling at this
    shape if None. vae: loaded beside it for previews, since loading it later could push the model out.
    """
    with torch.inference_mode(False):
        needed = model.model.memory_required(list(shape)) if needed is None else needed
        models = [model]
        if vae is not None:
            models.append(vae.patcher)
            needed += _decoding(vae, shape)
        # Whole, because weights that are moved in for each call would be overwritten before the backward pass.
        management.load_models_gpu(models, memory_required=needed, force_full_load=True)
        _let_gradients_through(model)
        try:
            with in_training():
                model.pre_run()
                yield model.load_device
        finally:
            model.cleanup()


@contextmanager
def in_training() -> Iterator[None]:
    """The host avoids kernels that have no gradient, where it is new enough to have any."""
    before = getattr(management, "in_training", None)
    try:
        if before is not None:
            management.in_training = True
        yield
    finally:
        if before is not None:
            management.in_training = before


def _let_gradients_through(model: ModelPatcher) -> None:
    """Loaders make weights in inference mode, and such weights stop a backward pass: copies that hold the same take
    their places, one after the other."""
    for module in model.model.diffusion_model.modules():
        for name, weight in module._parameters.items():
            if weight is not None and _of_inference(weight):
                module._parameters[name] = torch.nn.Parameter(weight.detach().clone(), requires_grad=False)
        for name, values in module._buffers.items():
            if values is not None and _of_inference(values):
                module._buffers[name] = values.clone()


def _of_inference(tensor: Tensor) -> bool:
    """Whether it was made in inference mode. A weight that the host has moved to a GPU since then holds new values, and
    `is_inference` denies it; but no operation outside of that mode takes it, as it still counts no versions."""
    try:
        return tensor.is_inference() or tensor._version < 0
    except RuntimeError:
        return True


def room_beside(model: ModelPatcher, shape: tuple[int, ...], vae: Any) -> int | None:
    """What the device will have beside the MODEL once the host has moved everything else away; None on a CPU."""
    device = model.load_device
    if device.type == "cpu":
        return None
    taken = model.model_size() + management.extra_reserved_memory()
    if vae is not None:
        taken += vae.patcher.model_size() + _decoding(vae, shape)
    return int(management.get_total_memory(device) - taken)


def _decoding(vae: Any, shape: tuple[int, ...]) -> int:
    """Bytes that decoding one frame of latents of this shape takes."""
    one = (1, shape[1], *(1,) * (len(shape) - 4), *shape[-2:])
    return vae.memory_used_decode(one, vae.vae_dtype)


class Progress:
    """The progress bar of the running node, with a picture now and then. Every step can be cancelled."""

    def __init__(self, model: ModelPatcher, steps: int, vae: Any = None, done: int = 0):
        self.bar, self.steps, self.vae, self.shown = comfy.utils.ProgressBar(steps), steps, vae, 0.0
        fmt = model.model.latent_format
        self.previewer = None if vae is not None else latent_preview.get_previewer(model.load_device, fmt)
        self.process_out = model.model.process_latent_out
        self.update(done)

    def update(self, step: int, clean: Tensor | None = None) -> None:
        """clean: `[1, c, f, h, w]`, whose middle frame is shown. Raises ComfyUI's interruption when cancelled."""
        now = time.monotonic()
        wanted = clean is not None and clean.numel() and now - self.shown >= PREVIEW_EVERY
        middle = 0 if clean is None else clean.shape[2] // 2
        picture = self._picture(clean[:, :, middle : middle + 1]) if wanted else None
        if wanted:
            self.shown = time.monotonic()
        # The bar drops updates that come fast, and the check for an interruption with them.
        self.bar.update_absolute(step, self.steps, picture)
        management.throw_exception_if_processing_interrupted()

    def _picture(self, frame: Tensor) -> tuple[str, Image.Image, int] | None:
        """frame: `[1, c, 1, h, w]`."""
        with torch.inference_mode():  # as its loader made the VAE's weights
            if self.previewer is not None:
                return self.previewer.decode_latent_to_preview_image("JPEG", frame[:, :, 0])
            if self.vae is None:
                return None
            latents = self.process_out(frame)
            latents = latents if self.vae.latent_dim == 3 else latents[:, :, 0]
            latents = latents.to(self.vae.device, self.vae.vae_dtype)
            pixels = self.vae.process_output(self.vae.first_stage_model.decode(latents).float())
        pixels = pixels.reshape(pixels.shape[1], *pixels.shape[-2:])
        array = (pixels.movedim(0, -1) * 255).round().byte().cpu().numpy()
        return "JPEG", Image.fromarray(array), PREVIEW_SIZE
