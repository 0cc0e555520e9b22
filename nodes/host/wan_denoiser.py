"""A MODEL of Wan as motion_lib's Denoiser, for training and inversion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor, nn

from ...motion_lib.diffusion.conditioning import Conditioning
from ...motion_lib.errors import MotionError
from ...motion_lib.method.patch import PreparedPatch
from .kinds import kind_of
from .patch import KEY, ReadyPatch, options_of
from .wan import act, while_learning


class WanModelDenoiser:
    """Calls a loaded MODEL on latents `[b, c, f, h, w]`, through apply_model, so that LoRA and other patches on it act;
    the conditioning is that of WanKind. `clean` is the last call's estimate of the clean latents, for previews.

    recompute: blocks keep only their input for the backward pass and run again there.
    """

    def __init__(self, model: ModelPatcher, recompute: bool = False):
        kind = kind_of(model)
        self.model, self.clean = model, torch.empty(0)
        self.backbone, self.process, self.recompute = kind.backbone, kind.process(), recompute
        self.options = options_of(model)
        self.options["wrappers"].setdefault(WrappersMP.APPLY_MODEL, {}).setdefault(KEY, [act])

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        sigma = (timesteps.to(latents) / len(self.process)).reshape(-1)
        ready, given = [ReadyPatch(patch) for patch in patches], self.options.get("patches", {})
        options = {
            **self.options,
            "cond_or_uncond": [0] * len(latents),
            "sigmas": sigma[:1],
            "patches": {**given, KEY: [*given.get(KEY, ()), *ready]},
        }
        learning = torch.is_grad_enabled() and bool(patches)
        if learning:
            options |= while_learning(self.recompute)
        clean = self.model.model.apply_model(
            latents, sigma, c_crossattn=conditioning.text, **conditioning.parts, transformer_options=options
        )
        if learning and not clean.requires_grad:
            raise MotionError(
                "Nothing can be learned through this MODEL, because its weights are in a form without gradients: load "
                "it with the weight_dtype default, fp8_e4m3fn or fp8_e5m2."
            )
        self.clean = clean.detach()
        return (latents - clean) / sigma.reshape(-1, 1, 1, 1, 1)

    def spatial_linears(self) -> dict[str, nn.Linear]:
        """None: no layer of Wan sees single frames alone."""
        return {}
