"""How to train: one frozen dataclass, and the learning rate and timesteps that follow from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..diffusion.process import Process
from ..errors import MotionError
from ..method.patch import DEBIAS, EXPERTS
from .losses import LOSSES

# How much of the way from the first learning rate to the last is behind, by the part of training that is done.
LR_SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": lambda done: done,
    "cosine": lambda done: (1 - math.cos(math.pi * done)) / 2,
    "constant": lambda done: 0.0,
}

PICTURES = ("own", "none")


@dataclass(frozen=True)
class TrainingSettings:
    """How to train. The defaults are the published ones except where the field says otherwise.

    Raises:
        MotionError: a value is out of range; the sentence names the field.
    """

    steps: int = 400
    """How long to learn. With more steps the video follows the clip more closely, and in the end it takes on the clip's
    look as well."""
    learning_rate: float = 2e-2
    """How large a step of learning is. Lower it when the loss jumps or becomes infinite."""
    final_rate: float = 1.0
    """The last learning rate as a share of the first; lr_schedule leads from one to the other."""
    loss: str = "mse"
    """What training minimises: mse is the plain objective; debiased gives less weight to what all frames share, which
    is appearance; hybrid is debiased with a spatial LoRA that takes on the look and is thrown away; velocity compares
    the directions of change from frame to frame."""
    timesteps: tuple[int, int] = (0, 999)
    """The lowest and the highest noise level to learn at; 999 is pure noise. Motion is decided at the high ones."""
    velocity_weight: bool = False
    """Weighs an ε-loss by 1/ᾱ_t, which makes it the loss of v; models that predict v have that loss already."""
    velocity_cap: float = 50.0
    """The largest weight that velocity_weight gives."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's decay rates of the two moments."""
    weight_decay: float = 1e-2
    """AdamW's weight decay."""
    eps: float = 1e-8
    """AdamW's ε."""
    clip: float = 1.0
    """The largest norm of the gradient; 0 sets no limit."""
    seed: int = 0
    """Decides the noise and the timesteps that are drawn while learning."""
    lr_schedule: str = "linear"
    """How the learning rate falls: in a straight line (linear), along a cosine, or not at all (constant)."""
    timestep_bias: float = 0.0
    """Above 0, high noise, where motion is decided, is drawn more often; 0 draws all noise levels equally often."""
    train_debias: str = "vanilla"
    """The form in which the value embedding acts while it is being learned, and in which the file holds it. difference
    keeps only what changes from frame to frame."""
    motion_mask: float = 0.0
    """Keeps the value embedding to where the clip moves: what moves by at least this share of the largest movement
    counts in full; 0 keeps the embedding everywhere."""
    expert: str | None = None
    """Which expert of a model with two, such as Wan 2.2, learns the motion: high_noise, low_noise or both. Motion is
    decided at high noise, which is what is meant without a choice."""
    picture: str | None = None
    """What a model that takes a first frame is given while it learns: the clip's own first frame (own), so that its
    look need not be learned, or none."""

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
        for name, known in (("expert", EXPERTS), ("picture", PICTURES)):
            if getattr(self, name) not in (None, *known):
                raise MotionError(f"{name} is '{getattr(self, name)}', but it must be one of {', '.join(known)}.")
        low, high = self.timesteps
        if not 0 <= low <= high:
            raise MotionError(f"timesteps are {low} to {high}, but they must satisfy 0 ≤ lowest ≤ highest.")

    def recorded(self) -> dict[str, Any]:
        """All of them that say something by name, in the values of JSON, as files have them."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items() if v is not None}

    def suiting(self, process: Process, pictures: bool) -> TrainingSettings:
        """The same for a model with this process, which takes pictures or does not: what is left open is decided, and
        timesteps are those at which the expert that learns is asked.

        Raises MotionError for an expert or a picture that the model does not have, and where no timestep is left.
        """
        if self.picture is not None and not pictures:
            raise MotionError(f"picture is {self.picture}, but this model takes no first frame: leave it out.")
        suited = replace(self, picture=(self.picture or PICTURES[0]) if pictures else None)
        if process.boundary is None:
            if self.expert is not None:
                raise MotionError(f"expert is {self.expert}, but this model has no experts: leave it out.")
            return suited
        expert, boundary = self.expert or EXPERTS[0], math.ceil(process.boundary * len(process))
        lowest, highest = {"high_noise": (boundary, len(process) - 1), "low_noise": (0, boundary - 1)}.get(
            expert, (0, len(process) - 1)
        )
        low, high = max(self.timesteps[0], lowest), min(self.timesteps[1], highest)
        if low > high:
            raise MotionError(
                f"The expert {expert} is asked at timesteps {lowest} to {highest}, but timesteps are "
                f"{self.timesteps[0]} to {self.timesteps[1]}: choose some of both."
            )
        return replace(suited, expert=expert, timesteps=(low, high))

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

    def draw_timesteps(self, count: int, process: Process, generator: torch.Generator) -> Tensor:
        """Timesteps `[count]` within the range, none beyond the model's last; whole ones, or where the process is
        continuous any up to one beyond the highest. Their density grows as (t − lowest)^timestep_bias, so that a bias
        of 1 is a straight line from nothing."""
        low, high = self.timesteps[0], min(self.timesteps[1], len(process) - 1)
        if not self.timestep_bias and not process.continuous:
            return torch.randint(low, high + 1, (count,), generator=generator)
        # The inverse of the distribution function, ((t − low) / n)^(1 + bias) over n timesteps.
        place = torch.rand(count, generator=generator, dtype=torch.float64) ** (1 / (1 + self.timestep_bias))
        times = low + (high - low + 1) * place
        if not process.continuous:
            return times.long().clamp(max=high)
        below = torch.nextafter(torch.tensor(high + 1.0), torch.tensor(0.0))  # where rounding would reach the end
        return times.float().clamp(max=below)
