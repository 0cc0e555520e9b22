"""diffusers' UNet3DConditionModel as ComfyUI's diffusion_model. Imported when a model is loaded: without diffusers,
everything else works."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import comfy.ops
import torch
import torch.nn.functional as F
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.unets.unet_3d_condition import UNet3DConditionModel
from einops import rearrange
from torch import Tensor, nn

from ...motion_lib.backbones.accelerate.abilities import Abilities
from ...motion_lib.backbones.accelerate.recompute import computed_again
from ...motion_lib.backbones.folder import Part
from ...motion_lib.backbones.loading import diffusers_model
from ...motion_lib.backbones.unet3d.denoiser import abilities_of, backbone_of, install_processors
from ...motion_lib.method.patch import PreparedPatch
from .patch import Call, patches_for
from .sampling import SamplingRun, parts_of

RECOMPUTED = ("resnets", "temp_convs", "attentions", "temp_attentions")  # of a block
PASS = "motion_pass"  # in transformer_options, from ModelDenoiser
SWAPPED = ("Linear", "Conv2d", "Conv3d", "GroupNorm", "LayerNorm")


class HostUNet3D(UNet3DConditionModel):
    """Frames in the batch; patches out of transformer_options; layers that cast and move as ComfyUI wants them.

    parts: everything below it, as it was loaded. sampling: what computes calls without gradients while a sampler runs,
    where it suits.
    """

    compute_dtype: torch.dtype
    last_timestep: int
    parts: list[Any]
    sampling: SamplingRun | None = None

    @property
    def abilities(self) -> Abilities:
        return abilities_of(self)

    @property
    def dtype(self) -> torch.dtype:
        # diffusers casts the time embedding to this; under manual cast the weights' own dtype would be wrong.
        return self.compute_dtype

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor | None = None,
        control: dict | None = None,
        transformer_options: dict | None = None,
        **ignored,
    ) -> Tensor:
        """x: `[(b f), c, h, w]` with b videos, or `[b, c, f, h, w]`; timesteps and context per row of x."""
        options = transformer_options or {}
        flat = x.ndim == 4
        videos = max(1, len(options.get("cond_or_uncond", ()))) if flat else len(x)
        latents = rearrange(x, "(b f) c h w -> b c f h w", b=videos) if flat else x
        per_video = len(x) // videos
        timesteps, context = timesteps[::per_video], context[::per_video]
        patches = patches_for(Call.of(latents, timesteps, self.last_timestep, options), options)
        run = options.get(PASS) or self._sampling_run(latents) or self.as_diffusers
        out = run(latents, timesteps, context, patches)
        return rearrange(out, "b c f h w -> (b f) c h w") if flat else out

    def _sampling_run(self, latents: Tensor) -> SamplingRun | None:
        # torch.compile answers the question while it traces: compiled code is diffusers' pass, whatever runs it.
        if torch.compiler.is_compiling() or torch.is_grad_enabled():
            return None
        return self.sampling if self.sampling is not None and self.sampling.suits(latents) else None

    def as_diffusers(
        self,
        latents: Tensor,
        timesteps: Tensor,
        context: Tensor | None,
        patches: Sequence[PreparedPatch],
        recompute: bool = False,
    ) -> Tensor:
        """diffusers' own pass over `[b, c, f, h, w]`. recompute: what the backward pass needs is computed again."""
        with _recomputing(self, recompute):
            return super().forward(
                latents, timesteps, context, cross_attention_kwargs={"motion": patches}, return_dict=False
            )[0]


class _recomputing:
    """While the forward pass runs, the parts of its blocks keep only their input for the backward pass and run again
    there. Parts, not blocks: what all of a block holds while it runs again is three times as much."""

    def __init__(self, unet: HostUNet3D, wanted: bool):
        blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks] if wanted else []
        self.parts = [part for block in blocks for kind in RECOMPUTED for part in getattr(block, kind, ())]

    def __enter__(self) -> None:
        for part in self.parts:
            part.forward = _checkpointed(part)

    def __exit__(self, *error: object) -> None:
        for part in self.parts:
            del part.forward


def _checkpointed(part: nn.Module):
    forward = type(part).forward

    def run(*arguments, **named):
        return computed_again(forward, part, *arguments, **named)

    return run


def load_unet(part: Part, dtype: torch.dtype, compute_dtype: torch.dtype) -> HostUNet3D:
    """The frozen UNet of a model folder, in evaluation mode, every layer a layer of comfy.ops."""
    unet = diffusers_model(UNet3DConditionModel, part, dtype, torch.device("cpu"))
    backbone = backbone_of(unet)
    install_processors(unet, backbone)
    operations = comfy.ops.pick_operations(dtype, compute_dtype if compute_dtype != dtype else None)
    _swap_layers(unet, operations)
    unet.__class__ = HostUNet3D
    unet.compute_dtype, unet.backbone, unet.parts = compute_dtype, backbone, parts_of(unet)
    return unet


def _swap_layers(unet: nn.Module, operations: type) -> None:
    """Every plain layer becomes comfy.ops' layer of that name, which adds behaviour and no state."""
    swaps = {
        getattr(nn, name): type(name, (_Layer, getattr(operations, name)), {"__qualname__": name}) for name in SWAPPED
    }
    flat = type("FlatConv3d", (_FlatConvolution, swaps[nn.Conv3d]), {})
    for module in unet.modules():
        module.__class__ = swaps.get(type(module), type(module))
    for module in unet.modules():
        if isinstance(module, TemporalConvLayer):
            for sequence in (module.conv1, module.conv2, module.conv3, module.conv4):
                sequence[-1].__class__ = flat


class _Layer:
    """What comfy.ops' layers do with their weights unless they are told to cast, move or change them."""

    def acts_as_its_base(self) -> bool:
        return not (self.comfy_cast_weights or self.weight_function or self.bias_function)


class _FlatConvolution:
    """A 3×1×1 convolution over `[b, c, f, h, w]` as a 3×1 one over `[b, c, f, h·w]`: the same numbers, faster."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None, *ignored, **named) -> Tensor:
        return F.conv2d(x.flatten(3), weight.squeeze(-1), bias, padding=(1, 0)).unflatten(3, x.shape[3:])
