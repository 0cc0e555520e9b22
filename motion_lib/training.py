"""Learning a motion embedding from one clip. `train` is a generator that yields its state after every step: progress,
preview, checkpoints and stopping are a few lines of the caller's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .denoiser import Denoiser
from .embedding import MotionEmbedding
from .errors import MotionError
from .losses import LOSSES
from .patch import MotionPatch
from .schedule import NoiseSchedule


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; the defaults are the published ones except where the field says otherwise.

    learning_rate falls linearly to final_rate times itself. timesteps: lowest and highest that are drawn, where 999 is
    pure noise; motion is decided at high noise. velocity_weight: weigh an ε-loss by 1/ᾱ_t (at most `velocity_cap`),
    which makes it the loss of v; models that predict v have it already. clip: gradient norm, 0 for no limit.
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

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise MotionError(f"steps is {self.steps}, but training needs at least 1.")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise MotionError(f"learning_rate is {self.learning_rate}, but it must be a positive number.")
        if self.loss not in LOSSES:
            raise MotionError(f"loss is '{self.loss}', but it must be one of {', '.join(LOSSES)}.")
        for name in ("final_rate", "clip", "weight_decay"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise MotionError(f"{name} is {getattr(self, name)}, but it must be a number that is not negative.")
        if not self.velocity_cap > 0:
            raise MotionError(f"velocity_cap is {self.velocity_cap}, but it must be positive.")
        low, high = self.timesteps
        if not 0 <= low <= high:
            raise MotionError(f"timesteps are {low} to {high}, but they must satisfy 0 ≤ lowest ≤ highest.")

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        done = step / max(1, self.steps - 1)
        return self.learning_rate * (1 + (self.final_rate - 1) * done)


@dataclass
class TrainingState:
    """Everything training continues from. `embedding` is live: take `embedding.detached()` to keep it."""

    embedding: MotionEmbedding
    settings: TrainingSettings
    optimizer: torch.optim.AdamW
    generator: torch.Generator
    step: int = 0
    losses: list[float] = field(default_factory=list)

    @classmethod
    def start(cls, embedding: MotionEmbedding, settings: TrainingSettings, device: torch.device | str) -> TrainingState:
        if not embedding.tensors:
            raise MotionError("The embedding holds no tensors (components none): there is nothing to learn.")
        live = {k: t.detach().to(device, torch.float32).clone().requires_grad_() for k, t in embedding.tensors.items()}
        optimizer = torch.optim.AdamW(
            list(live.values()),
            lr=settings.learning_rate,
            betas=settings.betas,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
        )
        generator = torch.Generator().manual_seed(settings.seed)
        return cls(embedding.with_tensors(live), settings, optimizer, generator)

    @property
    def loss(self) -> float:
        """Of the last step."""
        return self.losses[-1]

    @property
    def done(self) -> bool:
        return self.step >= self.settings.steps


def train(denoiser: Denoiser, latents: Tensor, conditioning: Any, state: TrainingState) -> Iterator[TrainingState]:
    """Learn the motion of clean latents `[b, c, f, h, w]` under a text conditioning for b videos.

    Objective: E‖y − model(x_t, t)‖² over random timesteps and noise with the backbone frozen (arXiv 2403.20193, sec.
    3.2), through the value and query-key embeddings as trained: strengths 1 and no debias. Timesteps and noise are
    drawn on the CPU, so that a seed means the same on every device.
    Raises MotionError for latents of another shape than the embedding's, for an embedding made for another backbone,
    or when loss or gradient are not finite; the state then is that of the last good step.
    """
    schedule, settings = denoiser.schedule, state.settings
    state.embedding.check_fits(denoiser.backbone)
    _check(latents, state.embedding, schedule, settings)
    loss_of = LOSSES[settings.loss]
    parameters = list(state.embedding.tensors.values())
    frames, size = latents.shape[2], (latents.shape[3], latents.shape[4])
    low, high = settings.timesteps[0], min(settings.timesteps[1], len(schedule) - 1)
    while not state.done:
        timesteps = torch.randint(low, high + 1, (len(latents),), generator=state.generator)
        noise = torch.randn(latents.shape, generator=state.generator).to(latents)
        at = timesteps.to(latents.device)
        with torch.enable_grad():
            # A plain patch: what is learned is the embedding itself, not its debiased form.
            patch = MotionPatch(state.embedding, debias="vanilla").prepare(frames, size, latents.device, latents.dtype)
            prediction = denoiser(schedule.noisy(latents, noise, at), at, conditioning, [patch])
            target = schedule.target(latents, noise, at)
            weight = _root_weight(schedule, settings, at, prediction)
            loss = loss_of(weight * prediction.float(), weight * target.float(), state.generator)
            state.optimizer.zero_grad(set_to_none=True)
            loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, settings.clip or math.inf)
        # Both at once, because reading from a GPU waits for it.
        read = torch.stack([loss.detach(), norm.to(loss)]).tolist()
        for what, value in zip(("loss", "gradient"), read, strict=True):
            if not math.isfinite(value):
                raise MotionError(
                    f"The {what} became {value} at step {state.step + 1}: "
                    f"lower learning_rate, or use a higher precision."
                )
        for group in state.optimizer.param_groups:
            group["lr"] = settings.rate(state.step)
        state.optimizer.step()
        state.step += 1
        state.losses.append(read[0])
        yield state


def _root_weight(schedule: NoiseSchedule, settings: TrainingSettings, at: Tensor, like: Tensor) -> Tensor:
    """√w so that weighting prediction and target weighs their squared difference by w, whatever the loss."""
    if schedule.prediction == "v_prediction" or not settings.velocity_weight:
        return torch.ones((), device=like.device)
    weight = (1 / schedule.alpha(at, like)).clamp(max=settings.velocity_cap)
    return weight.sqrt().float()


def _check(latents: Tensor, embedding: MotionEmbedding, schedule: NoiseSchedule, settings: TrainingSettings) -> None:
    if latents.ndim != 5:
        raise MotionError(f"Training needs latents [b, c, f, h, w], not of shape {list(latents.shape)}.")
    if not torch.isfinite(latents).all():
        raise MotionError("The clip's latents contain NaN or infinity: check the clip and the autoencoder.")
    if latents.shape[2] != embedding.frames:
        raise MotionError(f"The clip has {latents.shape[2]} frames, but the embedding was made for {embedding.frames}.")
    size = (latents.shape[3], latents.shape[4])
    for name, grid in embedding.grids.items():
        expected = embedding.backbone[name].grid(size)
        if grid != expected:
            raise MotionError(f"The embedding's grid at {name} is {grid}, but latents of {size} need {expected}.")
    if settings.timesteps[0] >= len(schedule):
        raise MotionError(f"timesteps begin at {settings.timesteps[0]}, but this model has {len(schedule)} of them.")
