"""Flow matching: noise and clean latents joined by a straight line, x_σ = (1 − σ)·x_0 + σ·ε, and a model that predicts
the velocity along it, ε − x_0 (Lipman et al. 2023, arXiv 2210.02747; Liu et al. 2023, arXiv 2209.03003).

A time is t = T·σ. A shift s moves the levels of a run towards noise, σ = s·u / (1 + (s − 1)·u) for evenly spaced u
(Esser et al. 2024, arXiv 2403.03206, eq. 23): large pictures and videos need more of their steps there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import MotionError, shown
from .process import Process, Time, number, scalar, whole

# Schedulers of diffusers for models that are always trained by flow matching; others say use_flow_sigmas.
FLOW = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler")
UNIPC = "UniPCMultistepScheduler"  # what Wan's folders say
LONGEST = 100_000  # timesteps
LARGEST_SHIFT = 1000.0


@dataclass(frozen=True)
class FlowMatching(Process):
    """trained: the number of training timesteps, T. shift: s, above 0; 1 leaves a run's levels evenly spaced.
    boundary, sampler: see Process.

    What a model learned does not depend on the shift: it only says where the steps of a run lie.
    """

    trained: int = 1000
    shift: float = 1.0
    prediction: str = "flow"
    boundary: float | None = None
    sampler: str = "euler"
    clean_end: ClassVar[Time] = 0.0
    continuous: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.shift) and 0 < self.shift <= LARGEST_SHIFT):
            raise MotionError(f"The shift is {self.shift}, but it must be above 0 and at most {LARGEST_SHIFT:g}.")
        if self.boundary is not None and not 0 < self.boundary < 1:
            raise MotionError(f"The boundary of the experts is {self.boundary}, but it must lie between 0 and 1.")

    @classmethod
    def from_config(cls, config: Mapping[str, Any], where: str = "scheduler_config.json") -> FlowMatching:
        """Read the configuration of a diffusers scheduler for flow matching.

        Raises MotionError for a field with an unknown or impossible value, and for a shift that depends on the size of
        the picture.
        """
        if config.get("use_dynamic_shifting"):
            raise MotionError(
                f"{where} has use_dynamic_shifting, a shift that depends on the size of the picture, which is not "
                f"supported: give a fixed shift."
            )
        prediction = config.get("prediction_type", "flow_prediction")
        if prediction != "flow_prediction":
            raise MotionError(
                f"{where}: prediction_type is '{shown(prediction, 80)}', but only flow_prediction is supported with "
                f"flow matching."
            )
        count = whole(config, "num_train_timesteps", 1000, where)
        if not 1 < count <= LONGEST:
            raise MotionError(f"{where}: num_train_timesteps is {count}, but it must lie from 2 to {LONGEST}.")
        shift = number(config, "flow_shift" if config.get("use_flow_sigmas") else "shift", 1.0, where)
        try:
            return cls(count, float(shift), sampler="unipc" if config.get("_class_name") == UNIPC else "euler")
        except MotionError as error:
            raise MotionError(f"{where}: {error}") from error

    def shifted(self, shift: float) -> FlowMatching:
        """The same process with another shift."""
        return replace(self, shift=shift)

    def divided(self, boundary: float) -> FlowMatching:
        """See Process. Raises MotionError for a boundary that is not between 0 and 1."""
        return replace(self, boundary=boundary)

    def __len__(self) -> int:
        return self.trained

    def timesteps(self, steps: int) -> list[float]:
        self.check_steps(steps)
        even = (1 - i / steps for i in range(steps))
        return [len(self) * self.shift * u / (1 + (self.shift - 1) * u) for u in even]

    def progress(self, timestep: Time) -> float:
        sigma = timestep / len(self)
        return 1 - sigma / (self.shift - (self.shift - 1) * sigma)

    def coefficients(self, timesteps: Tensor | Time, like: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(timesteps, Tensor):
            exact = torch.float32 if like.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
            sigma = (timesteps.to(like.device, exact) / len(self)).reshape(-1, *[1] * (like.ndim - 1))
        else:
            sigma = scalar(timesteps / len(self))
        return (1 - sigma).to(like), sigma.to(like)

    def target(self, clean: Tensor, noise: Tensor, timesteps: Tensor | Time) -> Tensor:
        """The velocity ε − x_0, which is the same at all times."""
        return noise - clean

    def clean_and_noise(self, noisy: Tensor, prediction: Tensor, timesteps: Tensor | Time) -> tuple[Tensor, Tensor]:
        signal, spread = self.coefficients(timesteps, noisy)
        return noisy - spread * prediction, noisy + signal * prediction
