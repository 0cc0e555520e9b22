"""Learning a motion embedding from one clip, or several of one motion. `train` is a generator that yields its state
after every step: progress, preview, checkpoints and stopping are a few lines of the caller's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .denoiser import Denoiser
from .embedding import MotionEmbedding
from .errors import MotionError
from .losses import LOSSES, SPATIAL, mse
from .motion_mask import motion_mask
from .patch import DEBIAS, MotionPatch, PreparedPatch
from .region import root_mask
from .schedule import NoiseSchedule
from .settings import TrainingSettings
from .spatial_lora import SpatialLoRA


@dataclass
class TrainingState:
    """Everything training continues from. `embedding` holds the tensors that are optimised; take `learned` to keep what
    they amount to.

    spatial: the LoRA of a loss with a spatial term, from the first step on. losses: of the embedding, per step; what
    the LoRA learns by is not in them. moving: where the clip moves, `[h·w, f, 1]` per value embedding, if the settings
    keep the embedding to it.
    """

    embedding: MotionEmbedding
    settings: TrainingSettings
    optimizer: torch.optim.AdamW
    generator: torch.Generator
    step: int = 0
    losses: list[float] = field(default_factory=list)
    spatial: SpatialLoRA | None = None
    moving: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def start(cls, embedding: MotionEmbedding, settings: TrainingSettings, device: torch.device | str) -> TrainingState:
        if not embedding.tensors:
            raise MotionError("The embedding holds no tensors (components none): there is nothing to learn.")
        live = {k: t.detach().to(device, torch.float32).clone().requires_grad_() for k, t in embedding.tensors.items()}
        generator = torch.Generator().manual_seed(settings.seed)
        return cls(embedding.with_tensors(live), settings, settings.optimizer(live.values()), generator)

    def acting(self) -> MotionEmbedding:
        """The embedding as it acts while it is learned, with gradients: value embeddings debiased as the settings say,
        and nothing where the clip stands still."""
        if self.settings.train_debias == "vanilla" and not self.moving:
            return self.embedding
        debias, tensors = DEBIAS[self.settings.train_debias], dict(self.embedding.tensors)
        for key in (key for key in tensors if key.endswith(".v")):
            m = debias(tensors[key])
            tensors[key] = m * self.moving[key] if key in self.moving else m
        return self.embedding.with_tensors(tensors)

    @property
    def learned(self) -> MotionEmbedding:
        """A copy of the embedding as it acts now, which further training does not change."""
        return self.acting().detached()

    @property
    def loss(self) -> float:
        """Of the last step."""
        return self.losses[-1]

    @property
    def done(self) -> bool:
        return self.step >= self.settings.steps


def train(
    denoiser: Denoiser, latents: Tensor, conditioning: Any, state: TrainingState, mask: Tensor | None = None
) -> Iterator[TrainingState]:
    """Learn the motion of clean latents `[b, c, f, h, w]` under a text conditioning for b videos.

    Objective: E‖y − model(x_t, t)‖² over random timesteps and noise with the backbone frozen (arXiv 2403.20193, sec.
    3.2), at strength 1, through the embedding as `TrainingState.acting` has it. Of several clips every step draws one,
    so that time and memory of a step do not grow with them. Timesteps and noise are drawn on the CPU, so that a seed
    means the same on every device.
    mask: how much each place counts, not negative, of any shape that broadcasts to that of the latents, such as
    `[f, h, w]` or `[h, w]`; only what is not 0 is learned from.
    Raises MotionError for latents of another shape than the embedding's, for an embedding made for another backbone, a
    mask that does not suit, or when loss or gradient are not finite; the state then is that of the last good step.
    """
    settings = state.settings
    state.embedding.check_fits(denoiser.backbone)
    _check(latents, state.embedding, denoiser.schedule, settings)
    if len(latents) > 1 and len(conditioning) != len(latents):
        raise MotionError(f"There are {len(latents)} clips and {len(conditioning)} texts: give one text for each clip.")
    scale = None if mask is None else root_mask(mask, latents)
    term = SPATIAL.get(settings.loss)
    layers = denoiser.spatial_linears() if term else {}
    if term:
        state.spatial = state.spatial or SpatialLoRA.start(layers, term, settings, latents.device)
        state.spatial.check_fits(layers)
    if settings.motion_mask:
        state.moving = _moving(latents, state.embedding, settings.motion_mask)
    return _steps(denoiser, latents, conditioning, state, scale, layers)


def _steps(
    denoiser: Denoiser,
    latents: Tensor,
    conditioning: Any,
    state: TrainingState,
    scale: Tensor | None,
    layers: Mapping[str, nn.Linear],
) -> Iterator[TrainingState]:
    settings, device, term = state.settings, latents.device, SPATIAL.get(state.settings.loss)
    frames, size = latents.shape[2], (latents.shape[3], latents.shape[4])
    ahead: _Ahead | None = None
    while not state.done:
        draw = ahead.taken(state) if ahead else None
        draw = draw or _Draw(denoiser, latents, conditioning, scale, state)
        skip = term is None or float(torch.rand((), generator=state.generator)) < term.skipped
        lora = None if skip else state.spatial
        with torch.enable_grad():
            read = {} if lora is None else _look(draw, lora, layers, state)
            patch = MotionPatch(state.acting(), debias="vanilla").prepare(frames, size, device, latents.dtype)
            with nullcontext() if lora is None else lora.acting(layers, learning=False):
                loss = LOSSES[settings.loss](*draw.compare([patch]), state.generator)
                state.optimizer.zero_grad(set_to_none=True)
                _backward(loss, latents, state.embedding.tensors)
        read |= {"loss": loss.detach(), "gradient": _clip(state.embedding.tensors, settings)}
        if state.step + 1 < settings.steps:
            ahead = _Ahead(lambda: _Draw(denoiser, latents, conditioning, scale, state), state)
        # All at once, because reading from a GPU waits for it.
        values = dict(zip(read, torch.stack([value.to(loss) for value in read.values()]).tolist(), strict=True))
        for what, value in values.items():
            if not math.isfinite(value):
                raise MotionError(
                    f"The {what} became {value} at step {state.step + 1}: "
                    f"lower learning_rate, or use a higher precision."
                )
        for group in state.optimizer.param_groups:
            group["lr"] = settings.rate(state.step)
        state.optimizer.step()
        if lora is not None:
            lora.optimizer.step()
        state.step += 1
        state.losses.append(values["loss"])
        yield state


def _moving(latents: Tensor, embedding: MotionEmbedding, threshold: float) -> dict[str, Tensor]:
    """Where the clip moves, on the grid of every value embedding."""
    masks = {}  # layers share grids
    for key in (key for key in embedding.tensors if key.endswith(".v")):
        grid = embedding.grid_of(key)
        masks[grid] = masks[grid] if grid in masks else motion_mask(latents.float(), grid, threshold)
    return {key: masks[embedding.grid_of(key)] for key in embedding.tensors if key.endswith(".v")}


class _Draw:
    """The clip, timestep and noise of one step."""

    def __init__(
        self, denoiser: Denoiser, latents: Tensor, conditioning: Any, scale: Tensor | None, state: TrainingState
    ):
        if len(latents) > 1:
            clip = int(torch.randint(len(latents), (), generator=state.generator))
            latents, conditioning = latents[clip : clip + 1], conditioning[clip : clip + 1]
            scale = scale if scale is None or len(scale) == 1 else scale[clip : clip + 1]
        self.denoiser, self.clean, self.conditioning, self.scale = denoiser, latents, conditioning, scale
        drawn = state.settings.draw_timesteps(1, len(denoiser.schedule) - 1, state.generator)
        self.timesteps = drawn.to(latents.device)
        self.noise = torch.randn(latents.shape, generator=state.generator).to(latents)
        self.weight = _root_weight(denoiser.schedule, state.settings, self.timesteps, latents)

    def compare(self, patches: Sequence[PreparedPatch], frames: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Prediction and target for these frames, as a loss should see them."""
        clean, noise, schedule = self.clean[:, :, frames], self.noise[:, :, frames], self.denoiser.schedule
        noisy = schedule.noisy(clean, noise, self.timesteps)
        prediction = self.denoiser(noisy, self.timesteps, self.conditioning, patches)
        target = schedule.target(clean, noise, self.timesteps)
        scale = self.weight if self.scale is None else self.weight * self.scale[:, :, frames]
        return scale * prediction.float(), scale * target.float()


class _Ahead:
    """The draw of the next step, made while the GPU works on this one, as if made in its turn: the state's generator
    moves on only when it is taken, and whoever sets the generator meanwhile gets another draw."""

    def __init__(self, make: Callable[[], _Draw], state: TrainingState):
        self.before = state.generator.get_state()
        self.draw = make()
        self.after = state.generator.get_state()
        state.generator.set_state(self.before)

    def taken(self, state: TrainingState) -> _Draw | None:
        if not torch.equal(state.generator.get_state(), self.before):
            return None
        state.generator.set_state(self.after)
        return self.draw


def _look(draw: _Draw, lora: SpatialLoRA, layers: Mapping[str, nn.Linear], state: TrainingState) -> dict[str, Tensor]:
    """The spatial LoRA's gradients, by mse of one random frame without the embedding; loss and norm, still on the
    device."""
    frame = int(torch.randint(draw.clean.shape[2], (), generator=state.generator))
    with lora.acting(layers, learning=True):
        loss = mse(*draw.compare((), slice(frame, frame + 1)), state.generator)
        lora.optimizer.zero_grad(set_to_none=True)
        _backward(loss, draw.clean, lora.tensors)
    return {"spatial loss": loss.detach(), "spatial gradient": _clip(lora.tensors, state.settings)}


def _backward(loss: Tensor, latents: Tensor, tensors: Mapping[str, Tensor]) -> None:
    """Gradients of the loss. That of a mean over all values of a clip is so small that most of it would vanish in
    float16 on its way through the model (measured at full size: cosine to the right one .37); times a power of two it
    does not (1.00), and in float32 the result is the same bit for bit."""
    scale = 2.0 ** (latents[:1].numel().bit_length() - 3)
    (scale * loss).backward()
    for tensor in tensors.values():
        if tensor.grad is not None:
            tensor.grad.div_(scale)


def _clip(tensors: Mapping[str, Tensor], settings: TrainingSettings) -> Tensor:
    """The norm of all gradients, before they are brought down to the largest that is allowed."""
    return torch.nn.utils.clip_grad_norm_(list(tensors.values()), settings.clip or math.inf)


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
