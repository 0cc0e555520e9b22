"""Wan 2.2's two experts as one model: one transformer for the noise above a boundary, one for that below it.

Every prediction is of one of them. What moves is decided at high noise, so that a motion acts in the expert for high
noise alone unless its patch says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from ...errors import MotionError
from ...method.patch import PreparedPatch
from ..accelerate.abilities import Abilities
from .denoiser import WanDenoiser

HIGH, LOW = "high_noise", "low_noise"
Pass = Callable[[Tensor, Tensor, Any, Sequence[PreparedPatch]], Tensor]


class TwoExperts:
    """A Denoiser of two, which share a process with a boundary.

    Raises ValueError for two of different shapes, and for a process without a boundary.
    """

    def __init__(self, high: WanDenoiser, low: WanDenoiser):
        if _shape(high) != _shape(low):
            different = sorted(name for name in _shape(high) if _shape(high)[name] != _shape(low).get(name))
            raise ValueError(f"the experts for high and for low noise are of different shapes: {', '.join(different)}")
        if high.process.boundary is None:
            raise ValueError("two experts need a boundary between them")
        self.experts = {HIGH: high, LOW: low}
        self.process, self.backbone = high.process, high.backbone

    @property
    def abilities(self) -> Abilities:
        high = self.experts[HIGH].abilities
        networks = nn.ModuleList(expert.network for expert in self.experts.values())
        return replace(high, network=networks, compute=self._recomputing, dtype=self.experts[HIGH].network.dtype)

    def _recomputing(self, parts: tuple[str, ...]) -> Pass:
        return partial(self._routed, {name: expert.recomputing(parts) for name, expert in self.experts.items()})

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Any, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        return self._routed(self.experts, latents, timesteps, conditioning, patches)

    def _routed(
        self,
        passes: Mapping[str, Pass],
        latents: Tensor,
        timesteps: Tensor,
        conditioning: Any,
        patches: Sequence[PreparedPatch] = (),
    ) -> Tensor:
        asked = self._asked(timesteps, patches)
        return passes[asked](latents, timesteps, conditioning, [patch for patch in patches if patch.acts_in(asked)])

    def _asked(self, timesteps: Tensor, patches: Sequence[PreparedPatch]) -> str:
        """The expert for these times `[b]`. Raises MotionError when they lie on both sides of the boundary."""
        if timesteps.is_meta:  # nothing is known of them, and both experts have one shape
            return LOW if patches and not any(patch.acts_in(HIGH) for patch in patches) else HIGH
        assert self.process.boundary is not None
        above = {time >= self.process.boundary * len(self.process) for time in timesteps.tolist()}
        if len(above) > 1:
            raise MotionError(
                "Videos on both sides of the boundary between two experts cannot share a batch: learn each clip alone."
            )
        return HIGH if above.pop() else LOW

    def spatial_linears(self) -> Mapping[str, nn.Linear]:
        """None, as in each of them."""
        return {}


def _shape(expert: WanDenoiser) -> dict[str, Any]:
    """All that its configuration says of it, but for what diffusers notes there for itself."""
    return {name: value for name, value in expert.network.config.items() if not name.startswith("_")}
