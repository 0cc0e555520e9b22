"""Training in less memory for any family whose layers find their patches in a context."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...diffusion.denoiser import Denoiser
from ...method.patch import PreparedPatch
from ..context import Context
from .recompute import computed_again

RUNGS = ((), ("block",))


class RecomputedPass:
    """A Denoiser whose blocks keep only their input for the backward pass, where they are computed again, in the
    context of the call that they belong to. Outside of calls the blocks are as they were."""

    def __init__(self, denoiser: Denoiser, blocks: Sequence[nn.Module], context: Context):
        self.denoiser, self.blocks, self.context = denoiser, blocks, context

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Any, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        if not torch.is_grad_enabled():
            return self.denoiser(latents, timesteps, conditioning, patches)
        for block in self.blocks:
            block.forward = partial(self._again, block)
        try:
            return self.denoiser(latents, timesteps, conditioning, patches)
        finally:
            for block in self.blocks:
                del block.forward

    def _again(self, block: nn.Module, *given: Any, **named: Any) -> Any:
        patches, frames = self.context.patches, self.context.frames

        def compute(*given: Any, **named: Any) -> Any:
            with self.context.holding(patches, frames):
                return type(block).forward(block, *given, **named)

        return computed_again(compute, *given, **named)
