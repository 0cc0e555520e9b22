"""Variance-preserving noise, of models that predict ε or v at discrete timesteps.

With ᾱ_t the cumulative product of 1 − β: x_t = √ᾱ_t·x_0 + √(1−ᾱ_t)·ε and v_t = √ᾱ_t·ε − √(1−ᾱ_t)·x_0.
A timestep of -1 stands for the clean end of the schedule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from ..errors import MotionError, shown
from .process import Process, Time, number, scalar, whole

Prediction = Literal["epsilon", "v_prediction"]
Spacing = Literal["leading", "trailing", "linspace"]
CLEAN = -1
LONGEST = 100_000  # timesteps: a hundred times what models are trained with
# Schedulers of diffusers that differ in how they sample, and agree in what a model was trained with.
DISCRETE = tuple(
    f"{name}Scheduler"
    for name in (
        "DDIM DDIMInverse DDIMParallel DDPM DDPMParallel DEISMultistep DPMSolverMultistep DPMSolverMultistepInverse "
        "DPMSolverSDE DPMSolverSinglestep EulerAncestralDiscrete EulerDiscrete HeunDiscrete KDPM2AncestralDiscrete "
        "KDPM2Discrete LCM LMSDiscrete PNDM SASolver TCD UniPCMultistep"
    ).split()
)


@dataclass(frozen=True)
class NoiseSchedule(Process):
    """alphas_cumprod: float64 `[T]`; final_alpha: ᾱ of the clean end; spacing and steps_offset as in diffusers.

    Sampling always moves to the next timestep of the run. diffusers' DDIMScheduler moves T // steps down instead, which
    is the same for leading spacing, and for trailing spacing where the number of steps divides T.
    """

    alphas_cumprod: Tensor
    prediction: Prediction = "epsilon"  # type: ignore[assignment]
    spacing: Spacing = "leading"
    steps_offset: int = 1
    final_alpha: float = 1.0
    clean_end: ClassVar[Time] = CLEAN
    continuous: ClassVar[bool] = False
    _tables: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], where: str = "scheduler_config.json") -> NoiseSchedule:
        """Read the configuration of any diffusers scheduler that was trained with discrete timesteps.

        Raises MotionError for a field with an unknown or impossible value.
        """
        count, offset = whole(config, "num_train_timesteps", 1000, where), whole(config, "steps_offset", 0, where)
        first, last = number(config, "beta_start", 0.0001, where), number(config, "beta_end", 0.02, where)
        trained, betas = config.get("trained_betas"), None
        if trained is not None:
            if not isinstance(trained, list | tuple) or not 0 < len(trained) <= LONGEST:
                raise MotionError(f"{where}: trained_betas must be a list of 1 to {LONGEST} numbers.")
            numbers = [number({"trained_betas": beta}, "trained_betas", 0, where) for beta in trained]
            betas = torch.tensor(numbers, dtype=torch.float64)
        if not 0 <= offset <= LONGEST:
            raise MotionError(f"{where}: steps_offset is {offset}, but it must lie from 0 to {LONGEST}.")
        kind = config.get("beta_schedule", "linear")
        if betas is not None:
            count = len(betas)
        elif not 1 < count <= LONGEST or not 0 < first <= last < 1:
            raise MotionError(
                f"{where}: num_train_timesteps {count}, beta_start {first} and beta_end {last} make no noise schedule: "
                f"2 to {LONGEST} timesteps and 0 < beta_start ≤ beta_end < 1 are needed."
            )
        elif kind == "linear":
            betas = torch.linspace(first, last, count, dtype=torch.float64)
        elif kind == "scaled_linear":
            betas = torch.linspace(first**0.5, last**0.5, count, dtype=torch.float64).square()
        else:
            raise MotionError(
                f"{where}: beta_schedule is '{shown(kind, 80)}', but only linear and scaled_linear are supported."
            )
        prediction = config.get("prediction_type", "epsilon")
        if prediction not in ("epsilon", "v_prediction"):
            raise MotionError(
                f"{where}: prediction_type is '{shown(prediction, 80)}', but only epsilon and v_prediction "
                f"are supported."
            )
        spacing = config.get("timestep_spacing", "leading")
        if spacing not in get_args(Spacing):
            raise MotionError(
                f"{where}: timestep_spacing is '{shown(spacing, 80)}', but it must be {', '.join(get_args(Spacing))}."
            )
        if count < 2 or not bool(((betas > 0) & (betas < 1)).all()):
            raise MotionError(f"{where}: trained_betas must be a list of at least 2 numbers between 0 and 1.")
        alphas = (1 - betas).cumprod(dim=0)
        if not alphas[0] < 1 or bool((alphas.diff() >= 0).any()):
            raise MotionError(f"{where}: the betas are too small or too many for the noise to grow at every timestep.")
        if config.get("rescale_betas_zero_snr"):
            alphas = _zero_terminal_snr(alphas)
        if alphas[-1] <= 0 and prediction == "epsilon":
            raise MotionError(f"{where}: a schedule that ends in pure noise needs prediction_type v_prediction.")
        return cls(
            alphas_cumprod=alphas,
            prediction=prediction,
            spacing=spacing,
            steps_offset=offset,
            final_alpha=1.0 if config.get("set_alpha_to_one", True) else float(alphas[0]),
        )

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    def timesteps(self, steps: int) -> list[int]:
        total = len(self)
        self.check_steps(steps)
        if self.spacing == "trailing":
            return [round(total - i * total / steps) - 1 for i in range(steps)]
        if self.spacing == "linspace":
            return torch.linspace(total - 1, 0, steps, dtype=torch.float64).round().long().tolist()
        return [min(i * (total // steps) + self.steps_offset, total - 1) for i in reversed(range(steps))]

    def progress(self, timestep: Time) -> float:
        return 1 - timestep / (len(self) - 1)

    def alpha(self, timesteps: Tensor | Time, like: Tensor) -> Tensor:
        """ᾱ of one or of `[b]` timesteps, in float64 where the device has it, and shaped to multiply `like`."""
        if not isinstance(timesteps, Tensor):
            return scalar(self.final_alpha if timesteps == CLEAN else float(self.alphas_cumprod[int(timesteps)]))
        if like.device not in self._tables:  # sent to a GPU once: it would be waited for in every step
            kind = torch.float32 if like.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
            self._tables[like.device] = self.alphas_cumprod.to(like.device, kind)
        return self._tables[like.device][timesteps].reshape(-1, *[1] * (like.ndim - 1))

    def coefficients(self, timesteps: Tensor | Time, like: Tensor) -> tuple[Tensor, Tensor]:
        alpha = self.alpha(timesteps, like)
        return alpha.sqrt().to(like), (1 - alpha).sqrt().to(like)

    def velocity_weight(self, timesteps: Tensor, like: Tensor) -> Tensor:
        """1/ᾱ for ε."""
        plain = self.prediction == "v_prediction"
        return super().velocity_weight(timesteps, like) if plain else 1 / self.alpha(timesteps, like)

    def target(self, clean: Tensor, noise: Tensor, timesteps: Tensor | Time) -> Tensor:
        """ε or v."""
        if self.prediction == "epsilon":
            return noise
        signal, spread = self.coefficients(timesteps, clean)
        return signal * noise - spread * clean

    def clean_and_noise(self, noisy: Tensor, prediction: Tensor, timesteps: Tensor | Time) -> tuple[Tensor, Tensor]:
        if self.prediction == "epsilon":
            return self.clean(noisy, prediction, timesteps), prediction
        signal, spread = self.coefficients(timesteps, noisy)
        return signal * noisy - spread * prediction, signal * prediction + spread * noisy


def _zero_terminal_snr(alphas: Tensor) -> Tensor:
    """Shift and scale √ᾱ so that the last one is zero (Lin et al. 2023, arXiv 2305.08891, algorithm 1)."""
    root = alphas.sqrt()
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])).square()
