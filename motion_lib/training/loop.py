"""The training loop: learning the motion of a clip, or several of one motion, or of many in one batch.

It is a generator that yields after every step: progress, preview, checkpoints and stopping are a few lines of the
caller's. What learns is a Learner (learner.py); `train` is a batch of one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from ..diffusion.conditioning import joined
from ..diffusion.denoiser import Denoiser
from ..diffusion.process import Process
from ..errors import MotionError
from ..method.patch import PreparedPatch
from .gradients import backward, clip_gradients
from .interrupts import uninterrupted
from .joined_patch import joined_patch
from .learner import Learner, LearningState
from .losses import LOSSES, SPATIAL, mse
from .noisy_clip import NoisyClip, NoisyClips, copy_of

State = TypeVar("State", bound=LearningState[Any])


@dataclass(frozen=True)
class TrainingRun(Generic[State]):
    """What is learned from, and the state that learns: clean latents `[b, c, f, h, w]` of b clips of one motion, a text
    conditioning for b videos, and the mask of `train`."""

    latents: Tensor
    conditioning: Any
    state: State
    mask: Tensor | None = None


def train(
    denoiser: Denoiser, latents: Tensor, conditioning: Any, state: State, mask: Tensor | None = None
) -> Iterator[State]:
    """Learn the motion of clean latents `[b, c, f, h, w]` under a text conditioning for b videos.

    Objective: E‖y − model(x_t, t)‖² over random timesteps and noise with the backbone frozen (arXiv 2403.20193, sec.
    3.2), through the embedding as it acts at strength 1. Of several clips every step draws one, so that time and memory
    of a step do not grow with them. Timesteps and noise are drawn on the CPU, so that a seed means the same on every
    device.
    mask: how much each place counts, not negative, of any shape that broadcasts to that of the latents, such as
    `[f, h, w]` or `[h, w]`; only what is not 0 is learned from.
    Raises MotionError for latents of another shape than the embedding's, for an embedding made for another backbone, a
    mask that does not suit, or when loss or gradient are not finite. Whatever ends a step, Ctrl-C included, leaves the
    state as it was after the step before: carrying on from there is bit for bit the same as never having stopped.
    """
    steps = train_together(denoiser, [TrainingRun(latents, conditioning, state, mask)])
    return (state for _ in steps)


def train_together(denoiser: Denoiser, runs: Sequence[TrainingRun[Any]]) -> Iterator[int]:
    """Learn from many clips in one batch, a step of each run at a time, which takes less time where a model is too
    small to fill the GPU with one clip; yields how many are still learning after every step.

    Every run draws, clips and steps by its own settings and generator, so that what it learns is what `train` teaches
    it, within the rounding of a larger batch. Raises MotionError for clips of different shapes, embeddings that join
    the features in different ways, losses with a spatial term, whatever `train` refuses, and when a loss or gradient is
    not finite; all states are then those of the last good step, as they are whatever ends a step.
    """
    if len(runs) > 1:
        _check_batch(runs)
    courses = []
    for run in runs:
        settings, process = run.state.settings, denoiser.process
        _check_run(run, process)
        ahead = run.latents.is_cuda
        clips = NoisyClips(run.latents, run.conditioning, run.mask, process, settings, ahead=ahead)
        run.state.prepare(denoiser, run.latents)
        courses.append((run.state, clips))
    return _steps(denoiser, courses)


def _check_batch(runs: Sequence[TrainingRun[Any]]) -> None:
    shapes = {tuple(run.latents.shape) for run in runs}
    if len(shapes) > 1 or any(shape[0] != 1 for shape in shapes):
        raise MotionError(f"Clips that are learned together must be alike, [1, c, f, h, w], not {sorted(shapes)}.")
    for run in runs:
        if run.state.settings.loss in SPATIAL:
            loss = run.state.settings.loss
            raise MotionError(f"The loss {loss} has a spatial term for one clip: learn each clip alone.")
        if not run.state.learner.grids:
            raise MotionError("What changes layers of the model cannot share a batch: learn each clip alone.")


def _check_run(run: TrainingRun[Any], process: Process) -> None:
    latents, settings, timesteps = run.latents, run.state.settings, len(process)
    if latents.ndim != 5:
        raise MotionError(f"Training needs latents [b, c, f, h, w], not of shape {list(latents.shape)}.")
    if not torch.isfinite(latents).all():
        raise MotionError("The clip's latents contain NaN or infinity: check the clip and the autoencoder.")
    if len(run.conditioning) != len(latents):
        raise MotionError(f"Each clip needs one text, but {len(run.conditioning)} were given for {len(latents)}.")
    if settings.timesteps[0] >= timesteps:
        raise MotionError(f"timesteps begin at {settings.timesteps[0]}, but this model has {timesteps} of them.")
    if process.boundary is not None:
        suited = settings.suiting(process, pictures=True)
        if suited.timesteps != (settings.timesteps[0], min(settings.timesteps[1], timesteps - 1)):
            raise MotionError(
                f"timesteps are {settings.timesteps[0]} to {settings.timesteps[1]}, but the expert {suited.expert}, "
                f"which learns, is asked at {suited.timesteps[0]} to {suited.timesteps[1]} of them: give those, as "
                f"TrainingSettings.suiting does."
            )


@dataclass
class _Turn:
    """One state's part in a step. generator: a copy of the state's, which follows it when the step is done. spatial:
    the state's, unless this step does without it. values: losses and norms by name, still on the device."""

    state: LearningState[Any]
    clip: NoisyClip
    generator: torch.Generator
    spatial: Learner | None
    values: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, state: LearningState[Any], clips: NoisyClips) -> _Turn:
        generator, spatial = copy_of(state.generator), state.spatial
        clip = clips.draw(generator)
        if spatial is not None and state.skipped and float(torch.rand((), generator=generator)) < state.skipped:
            spatial = None
        return cls(state, clip, generator, spatial)

    def learn_look(self, denoiser: Denoiser) -> None:
        """Gradients of the spatial learner, by mse of one random frame without what learns the motion."""
        if self.spatial is None:
            return
        clip, frame = self.clip, int(torch.randint(self.clip.clean.shape[2], (), generator=self.generator))
        one = slice(frame, frame + 1)
        with self.spatial.acting(clip.clean, learning=True) as patches:
            prediction = denoiser(clip.noisy(one), clip.timesteps, clip.conditioning, patches)
            loss = mse(*clip.compared(prediction, one), self.generator)
            backward(loss, clip.clean, self.spatial.tensors.values())
        self.keep(loss, self.spatial, "spatial ")

    def acting(self, inside: ExitStack) -> list[PreparedPatch]:
        """The patches of what acts until `inside` is left."""
        looks = [] if self.spatial is None else inside.enter_context(self.spatial.acting(self.clip.clean, False))
        return [*looks, *inside.enter_context(self.state.learner.acting(self.clip.clean, True))]

    def compare(self, prediction: Tensor) -> Tensor:
        """The loss."""
        return LOSSES[self.state.settings.loss](*self.clip.compared(prediction), self.generator)

    def keep(self, loss: Tensor, learner: Learner, name: str = "") -> None:
        """Among the values, once the gradients are there, which are brought down to the largest that is allowed."""
        norm = clip_gradients(learner.tensors.values(), self.state.settings.clip)
        self.values |= {f"{name}loss": loss.detach(), f"{name}gradient": norm}


def _steps(denoiser: Denoiser, courses: Sequence[tuple[LearningState[Any], NoisyClips]]) -> Iterator[int]:
    while learning := [course for course in courses if not course[0].done]:
        turns = [_Turn.of(*course) for course in learning]
        with torch.enable_grad():
            for turn in turns:
                turn.learn_look(denoiser)
            _learn(denoiser, turns)
        for (_, clips), turn in zip(learning, turns, strict=True):
            clips.draw_ahead(turn.generator)
        losses = _finite_losses(turns)
        with uninterrupted():
            for turn, loss in zip(turns, losses, strict=True):
                turn.state.advance(loss, turn.generator, turn.spatial)
        yield sum(not state.done for state, _ in courses)


def _learn(denoiser: Denoiser, turns: Sequence[_Turn]) -> None:
    """The gradients of all, in one pass through the model."""
    clips = [turn.clip for turn in turns]
    with ExitStack() as inside:
        prediction = denoiser(
            _in_one([clip.noisy() for clip in clips]),
            _in_one([clip.timesteps for clip in clips]),
            _in_one([clip.conditioning for clip in clips]),
            _patches(turns, inside),
        )
        losses = [turn.compare(part) for turn, part in zip(turns, prediction.split(1), strict=True)]
        tensors = [tensor for turn in turns for tensor in turn.state.learner.tensors.values()]
        backward(torch.stack(losses).sum(), clips[0].clean, tensors)
    for turn, loss in zip(turns, losses, strict=True):
        turn.keep(loss, turn.state.learner)


def _in_one(parts: Sequence[Any]) -> Any:
    """A batch of all; one part alone stays as it is."""
    return parts[0] if len(parts) == 1 else joined(parts)


def _patches(turns: Sequence[_Turn], inside: ExitStack) -> list[PreparedPatch]:
    patches = [turn.acting(inside) for turn in turns]
    if len(turns) == 1:
        return patches[0]
    grids = {layer: grid for turn in turns for layer, grid in turn.state.learner.grids.items()}
    return [joined_patch([patch for (patch,) in patches], grids)]


def _finite_losses(turns: Sequence[_Turn]) -> list[float]:
    """The loss of each. All values are read at once, because reading from a GPU waits for it; raises MotionError unless
    all of them are finite, before any state moves on."""
    values = [value for turn in turns for value in turn.values.values()]
    read = iter(torch.stack([value.to(turns[0].values["loss"]) for value in values]).tolist())
    found = [{name: next(read) for name in turn.values} for turn in turns]
    for number, (turn, named) in enumerate(zip(turns, found, strict=True), start=1):
        whose = f" of clip {number} of {len(turns)}" if len(turns) > 1 else ""
        for name, value in named.items():
            if not math.isfinite(value):
                raise MotionError(
                    f"The {name}{whose} became {value} at step {turn.state.step + 1}: lower learning_rate, or use a "
                    f"higher precision."
                )
    return [named["loss"] for named in found]
