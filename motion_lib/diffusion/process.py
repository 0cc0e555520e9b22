"""Noise processes: how clean latents, noise and a model's predictions relate at every time, and the step between two.

Every process has x_t = a·x_0 + b·ε, with coefficients a and b that it gives for a time t; all else follows from them
and from what the model predicts. Times are the numbers that the model itself is told, growing with the noise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import MotionError, shown

Time = int | float


class Process(ABC):
    """What training, sampling and inversion need to know of a model's noise.

    prediction: what the model predicts, `epsilon`, `v_prediction` or `flow`. clean_end: the time at which nothing of
    the noise is left. continuous: whether a model is trained at all times between its first and last, or at whole ones.
    boundary: of a model with two experts, the share of T from which on the one for high noise is asked.
    sampler: which of solvers.SOLVERS is used where nobody chooses.
    """

    prediction: str
    clean_end: ClassVar[Time]
    continuous: ClassVar[bool]
    boundary: float | None = None
    sampler: str = "euler"

    @abstractmethod
    def __len__(self) -> int:
        """The number of training timesteps, T; times lie below or at it."""

    @abstractmethod
    def timesteps(self, steps: int) -> list[Any]:
        """The times of a sampling run, from noisy to clean, without the clean end.

        Raises MotionError unless 1 ≤ steps ≤ T.
        """

    @abstractmethod
    def progress(self, timestep: Time) -> float:
        """How far sampling has come at a time: 0 at pure noise, 1 at the clean end, and linear in the steps of a
        run."""

    @abstractmethod
    def coefficients(self, timesteps: Tensor | Time, like: Tensor) -> tuple[Tensor, Tensor]:
        """(a, b) at one time or at `[b]` times, in the dtype of `like` and shaped to multiply it."""

    @abstractmethod
    def target(self, clean: Tensor, noise: Tensor, timesteps: Tensor | Time) -> Tensor:
        """What the model should predict, `[b, c, f, h, w]`."""

    @abstractmethod
    def clean_and_noise(self, noisy: Tensor, prediction: Tensor, timesteps: Tensor | Time) -> tuple[Tensor, Tensor]:
        """The x_0 and ε that a prediction at x_t implies."""

    def noisy(self, clean: Tensor, noise: Tensor, timesteps: Tensor | Time) -> Tensor:
        """x_t from x_0 and ε, all `[b, c, f, h, w]`."""
        signal, spread = self.coefficients(timesteps, clean)
        return signal * clean + spread * noise

    def clean(self, noisy: Tensor, noise: Tensor, timesteps: Tensor | Time) -> Tensor:
        """x_0 from x_t and ε; not defined where nothing of x_0 is left."""
        signal, spread = self.coefficients(timesteps, noisy)
        return (noisy - spread * noise) / signal

    def noise(self, noisy: Tensor, clean: Tensor, timesteps: Tensor | Time) -> Tensor:
        """ε from x_t and x_0; not defined at the clean end."""
        signal, spread = self.coefficients(timesteps, noisy)
        return (noisy - signal * clean) / spread

    def move(self, noisy: Tensor, prediction: Tensor, start: Time, end: Time) -> Tensor:
        """The deterministic step from time `start` to `end`, in either direction: DDIM for variance-preserving
        processes (Song et al. 2021, arXiv 2010.02502, eq. 12 with σ = 0), Euler for flow matching."""
        clean, noise = self.clean_and_noise(noisy, prediction, start)
        return self.noisy(clean, noise, end)

    def velocity_weight(self, timesteps: Tensor, like: Tensor) -> Tensor:
        """What the squared error of a prediction at `[b]` times is to be multiplied by, to count as one of velocity."""
        return torch.ones((), device=like.device)

    def divided(self, boundary: float) -> Process:
        """The same process for a model with two experts. Raises MotionError where there are no such models."""
        raise MotionError("Two experts are known of models of flow matching alone: use another model.")

    def check_steps(self, steps: int) -> None:
        if not 1 <= steps <= len(self):
            raise MotionError(
                f"steps is {steps}, but this model was trained with {len(self)} timesteps: choose 1 to {len(self)}."
            )


@dataclass(frozen=True)
class Step:
    """One step of sampling or inversion, after it was made.

    number: from 0; steps: of the run. time: at which the model was asked. level: 1 − progress at that time, from 1 at
    pure noise to 0 at the clean end, even in the steps of a run; the share of noise is the process's `coefficients`.
    latents: `[b, c, f, h, w]` after the step. clean: what the model took for the clean latents in it.
    """

    number: int
    steps: int
    time: Time
    level: float
    latents: Tensor
    clean: Tensor


def number(config: Mapping[str, Any], name: str, default: float, where: str) -> float:
    """A field of a configuration. Raises MotionError when it holds anything but a finite number of a usual size."""
    value = config.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e9:
        raise MotionError(f"{where}: {name} is {shown(value, 80)}, which is not a number that it could be.")
    return value


def whole(config: Mapping[str, Any], name: str, default: int, where: str) -> int:
    value = number(config, name, default, where)
    if not isinstance(value, int):
        raise MotionError(f"{where}: {name} is {value}, but it must be a whole number.")
    return value


def scalar(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)
