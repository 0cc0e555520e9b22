"""How to train: one frozen dataclass, and the learning rate and timesteps that follow from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

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
    """How to train. The defaults are the published ones.

    Raises:
        MotionError: a value is out of range; the sentence names the field.
    """

    steps: int = 400
    """How many steps to train, at least 1."""
    learning_rate: float = 2e-2
    """The learning rate of AdamW in the first step."""
    final_rate: float = 1.0
    """The learning rate of the last step, as a multiple of that of the first."""
    loss: str = "mse"
    """What is compared between prediction and target: one of LOSSES."""
    timesteps: tuple[int, int] = (0, 999)
    """The lowest and the highest timestep that are drawn, where 999 is pure noise. Motion is decided at high noise."""
    velocity_weight: bool = False
    """Whether to weigh a loss of ε by 1/ᾱ_t, which makes it the loss of v. Models that predict v have it already."""
    velocity_cap: float = 50.0
    """The largest weight that `velocity_weight` gives."""
    betas: tuple[float, float] = (0.9, 0.999)
    """How much of the mean of gradients, and of that of their squares, AdamW keeps from one step to the next."""
    weight_decay: float = 1e-2
    """The weight decay of AdamW: in every step a tensor shrinks by this times the learning rate."""
    eps: float = 1e-8
    """What AdamW adds to the root of the mean squared gradient before it divides by it."""
    clip: float = 1.0
    """The largest norm of all gradients together, to which larger ones are scaled down; 0 is no limit."""
    seed: int = 0
    """The seed of everything that training draws at random."""
    lr_schedule: str = "linear"
    """How the learning rate goes from the first to the last: one of LR_SCHEDULES. `constant` leaves `final_rate`
    aside."""
    timestep_bias: float = 0.0
    """How strongly high timesteps are preferred: their density grows as (t − lowest)^bias towards the highest, so that
    0 is uniform and 1 a straight line from nothing."""
    train_debias: str = "vanilla"
    """How the value embedding is debiased, one of DEBIAS, already while it is learned, and in the file."""
    motion_mask: float = 0.0
    """Keeps the value embedding to where the clip moves: the share of its largest movement from which on a place counts
    in full (see motion_mask.py). 0 keeps it everywhere."""

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
