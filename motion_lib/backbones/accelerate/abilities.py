"""What a family of models can do beside running as its library runs it, and how: the families say it, and training
modes and recorded sampling ask for nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ...diffusion.denoiser import Denoiser
from ...errors import MotionError


@dataclass(frozen=True)
class Abilities:
    """family: in the sentence about what it cannot do. network: the module that holds the weights. text: tokens and
    width of a text conditioning. dtype: of what it computes with; the network's own if None.

    compute: gives `run(latents, timesteps, conditioning, patches)` for one of the rungs, or None for a model that only
    runs as its library runs it. It has to be a bound method or a partial, so that a copy of these abilities computes
    with a copy of the network. rungs: names of what is computed again in the backward pass, from the fastest rung to
    the smallest.
    fast: whether `compute` is faster than the library's own pass, on GPUs for which kernels can be compiled, and may be
    recorded as CUDA graphs. slow: why it is not, if it is not. pictures: whether it takes a first frame beside a text.
    """

    family: str
    network: Any
    text: tuple[int, int]
    compute: Callable[[tuple[str, ...]], Callable[..., Tensor]] | None = None
    rungs: tuple[tuple[str, ...], ...] = ()
    fast: bool = False
    slow: str = "its family has no faster pass"
    dtype: torch.dtype | None = None
    pictures: bool = False

    @property
    def modes(self) -> tuple[str, ...]:
        """Those of training_modes.MODES that it has."""
        return "auto", *(["fast"] if self.fast else []), *(["low_memory"] if self.rungs else []), "plain"

    def run(self, recompute: tuple[str, ...]) -> Callable[..., Tensor]:
        """What computes, with this computed again in the backward pass; raises MotionError where nothing is offered."""
        if self.compute is None:
            raise MotionError(f"A model of the family {self.family} only runs as its library runs it: {self.slow}.")
        return self.compute(recompute)

    def check(self, mode: str) -> None:
        """Raise MotionError, naming the family, for a mode of training that it does not have."""
        if mode not in self.modes:
            raise MotionError(
                f"This model of the family {self.family} cannot train in mode {mode}, because {self.slow}: use mode "
                f"{', '.join(self.modes[:-1])} or {self.modes[-1]}."
            )


class Able(Protocol):
    """Says what a model can do."""

    @property
    def abilities(self) -> Abilities: ...


class AbleDenoiser(Able, Denoiser, Protocol):
    """A Denoiser that says what its model can do."""
