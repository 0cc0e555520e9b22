"""How to train: one frozen dataclass, and the learning rate and timesteps that follow from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import MotionError
from ..method.patch import DEBIAS
from .losses import LOSSES

# How much of the way from the first learning rate to the last is behind, by the part of training that is done.
LR_SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": lambda done: done,
    "cosine": lambda done: (1 - math.cos(math.pi * done)) / 2,
    "constant": lambda done: 0.0,
}


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; the defaults are the published ones except where the field says otherwise.

    learning_rate goes to final_rate times itself as lr_schedule says, one of LR_SCHEDULES; `constant` leaves final_rate
    aside. timesteps: lowest and highest that are drawn, where 999 is pure noise; motion is decided at high noise.
    timestep_bias: the density of timesteps grows as (t − lowest)^bias towards the highest, so 0 is uniform and 1 a
    straight line from nothing. velocity_weight: weigh an ε-loss by 1/ᾱ_t (at most `velocity_cap`), which makes it the
    loss of v; models that predict v have it already. clip: gradient norm, 0 for no limit. train_debias: one of DEBIAS,
    through which the value embedding acts already while it is learned, and in the file. motion_mask: keep the value
    embedding to where the clip moves, the share of its largest movement that counts in full (see motion_mask.py); 0
    keeps it everywhere.
    """

    steps: int = 400
    learning_rate: float = 2e-2
    final_rate: float = 1.0
    loss: str = "mse"
    timesteps: tuple[int, int] = (0, 999)
    velocity_weight: bool = False
    velocity_cap: float = 50.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-2
    eps: float = 1e-8
    clip: float = 1.0
    seed: int = 0
    lr_schedule: str = "linear"
    timestep_bias: float = 0.0
    train_debias: str = "vanilla"
    motion_mask: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise MotionError(f"steps is {self.steps}, but training needs at least 1.")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise MotionError(f"learning_rate is {self.learning_rate}, but it must be a positive number.")
        for name, known in (("loss", LOSSES), ("lr_schedule", LR_SCHEDULES), ("train_debias", DEBIAS)):
            if getattr(self, name) not in known:
                raise MotionError(f"{name} is '{getattr(self, name)}', but it must be one of {', '.join(known)}.")
        for name in ("final_rate", "clip", "weight_decay", "timestep_bias", "motion_mask"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise MotionError(f"{name} is {getattr(self, name)}, but it must be a number that is not negative.")
        if not self.velocity_cap > 0:
            raise MotionError(f"velocity_cap is {self.velocity_cap}, but it must be positive.")
        low, high = self.timesteps
        if not 0 <= low <= high:
            raise MotionError(f"timesteps are {low} to {high}, but they must satisfy 0 ≤ lowest ≤ highest.")

    def recorded(self) -> dict[str, Any]:
        """All of them by name, in the values of JSON, as files have them."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        behind = LR_SCHEDULES[self.lr_schedule](step / max(1, self.steps - 1))
        return self.learning_rate * (1 + (self.final_rate - 1) * behind)

    def optimizer(self, tensors: Iterable[Tensor], learning_rate: float | None = None) -> torch.optim.AdamW:
        """AdamW with these settings, at another learning rate if one is given."""
        tensors = list(tensors)
        return torch.optim.AdamW(
            tensors,
            lr=self.learning_rate if learning_rate is None else learning_rate,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay,
            fused=all(tensor.is_cuda for tensor in tensors),
        )

    def draw_timesteps(self, count: int, last: int, generator: torch.Generator) -> Tensor:
        """Timesteps `[count]` within the range, none beyond the model's last."""
        low, high = self.timesteps[0], min(self.timesteps[1], last)
        if not self.timestep_bias:
            return torch.randint(low, high + 1, (count,), generator=generator)
        # The inverse of the distribution function, ((t − low) / n)^(1 + bias) over n timesteps.
        place = torch.rand(count, generator=generator, dtype=torch.float64) ** (1 / (1 + self.timestep_bias))
        return (low + (high - low + 1) * place).long().clamp(max=high)
