"""A MODEL of Load Motion Video Model as motion_lib's Denoiser, for training and inversion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from comfy.model_patcher import ModelPatcher
from einops import rearrange
from torch import Tensor

from ...motion_lib.backbones.accelerate.abilities import Abilities
from ...motion_lib.method.patch import PreparedPatch
from .kinds import kind_of
from .patch import KEY, ReadyPatch, options_of


class ModelDenoiser:
    """Calls a loaded MODEL on latents `[b, c, f, h, w]`, through apply_model, so that LoRA, hooks and other patches on
    it act. `clean` is the last call's estimate of the clean latents, for previews.

    fast: through the faster pass, or diffusers'; if None, as sampling runs: the faster one for calls without gradients,
    where it suits. recompute: what the backward pass needs is computed again there, in the pass that `fast` names."""

    def __init__(self, model: ModelPatcher, recompute: bool = False, fast: bool | None = None):
        from ...motion_lib.backbones.unet3d.frozen_pass import PARTS, FrozenPass  # needs diffusers

        kind = kind_of(model)
        self.backbone, self.process = kind.backbone, kind.process()
        self.model, self.clean = model, torch.empty(0)
        self.unet = model.model.diffusion_model
        self.options = options_of(model)
        if fast is not None:
            plain = partial(self.unet.as_diffusers, recompute=recompute)
            self.run_through(FrozenPass(self.unet, PARTS if recompute else ()) if fast else plain)

    def run_through(self, run: Callable[..., Tensor] | None) -> None:
        """What computes: `run(latents, timesteps, conditioning, patches)`, or what the UNet chooses if None."""
        from .unet import PASS

        self.options[PASS] = run

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Tensor, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        """conditioning: `[b, tokens, width]`."""
        videos, frames = len(latents), latents.shape[2]
        alpha = self.process.alpha(timesteps, latents)
        signal, spread = alpha.sqrt().to(latents), (1 - alpha).sqrt().to(latents)
        sigma = (spread / signal).flatten().repeat_interleave(frames)
        ready = [ReadyPatch(patch) for patch in patches]
        given = self.options.get("patches", {})
        clean = self.model.model.apply_model(
            rearrange(latents / signal, "b c f h w -> (b f) c h w"),
            sigma,
            c_crossattn=conditioning.repeat_interleave(frames, dim=0),
            transformer_options={
                **self.options,
                "cond_or_uncond": [0] * videos,
                "sigmas": sigma[:1],
                "patches": {**given, KEY: [*given.get(KEY, ()), *ready]},
            },
        )
        clean = rearrange(clean, "(b f) c h w -> b c f h w", b=videos)
        self.clean = clean.detach()
        if self.process.prediction == "epsilon":
            return (latents - signal * clean) / spread
        return (signal * latents - clean) / spread

    @property
    def abilities(self) -> Abilities:
        return self.unet.abilities

    def spatial_linears(self) -> dict[str, torch.nn.Linear]:
        """Where a loss with a spatial term has its LoRA while training."""
        from ...motion_lib.backbones.temporal import spatial_linears  # needs diffusers

        return spatial_linears(self.unet)
