"""Learning many embeddings in one batch, each from a clip of its own: as `train` would teach each alone, in less time
where a model is too small to fill the GPU with one clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeVar

import torch
from torch import Tensor

from ..diffusion.denoiser import Denoiser
from ..errors import MotionError
from ..method.patch import MotionPatch, PreparedPatch
from .interrupts import uninterrupted
from .loop import TrainingState
from .losses import LOSSES, SPATIAL
from .step import Draw, Draws, advance, backward, check, clip_gradients, copy_of, moving, require_finite

Key = TypeVar("Key")


@dataclass(frozen=True)
class Lesson:
    """A clip's clean latents `[1, c, f, h, w]`, its text embedding `[1, tokens, width]`, and the state that learns."""

    latents: Tensor
    conditioning: Tensor
    state: TrainingState


def train_together(denoiser: Denoiser, lessons: Sequence[Lesson]) -> Iterator[int]:
    """Teach all lessons, a step of each at a time; yields how many are still learning after every step.

    Every state draws, clips and steps by its own settings and generator, so that what it learns is what `train` teaches
    it, within the rounding of a larger batch. Raises MotionError for clips of different shapes, embeddings that join
    the features in different ways, losses with a spatial term, whatever `train` refuses, and when a loss or gradient is
    not finite; all states are then those of the last good step, as they are whatever ends a step.
    """
    shapes = {tuple(lesson.latents.shape) for lesson in lessons}
    if len(shapes) > 1 or any(shape[0] != 1 for shape in shapes):
        raise MotionError(f"Clips that are learned together must be alike, [1, c, f, h, w], not {sorted(shapes)}.")
    if len({lesson.state.embedding.integration for lesson in lessons}) > 1:
        raise MotionError("Embeddings that are learned together must have one integration.")
    for lesson in lessons:
        state, settings = lesson.state, lesson.state.settings
        if settings.loss in SPATIAL:
            raise MotionError(f"The loss {settings.loss} has a spatial term for one clip: learn each clip alone.")
        state.embedding.check_fits(denoiser.backbone)
        check(lesson.latents, state.embedding, denoiser.schedule, settings)
        if settings.motion_mask:
            state.moving = moving(lesson.latents, state.embedding, settings.motion_mask)
    return _steps(denoiser, lessons)


def _steps(denoiser: Denoiser, lessons: Sequence[Lesson]) -> Iterator[int]:
    drawing = {
        id(each): Draws(each.latents, denoiser.schedule, each.state.settings, each.latents.is_cuda) for each in lessons
    }
    while learning := [lesson for lesson in lessons if not lesson.state.done]:
        states, latents = [lesson.state for lesson in learning], learning[0].latents
        generators = [copy_of(state.generator) for state in states]
        draws: list[Draw] = []
        for each, generator in zip(learning, generators, strict=True):
            drawn = drawing[id(each)].take(generator)
            draws.append(Draw(denoiser, each.latents, each.conditioning, None, each.state.settings, drawn))
        with torch.enable_grad():
            predictions = denoiser(
                torch.cat([draw.noisy() for draw in draws]),
                torch.cat([draw.timesteps for draw in draws]),
                torch.cat([lesson.conditioning for lesson in learning]),
                [_acting(states, latents)],
            )
            losses = [
                LOSSES[state.settings.loss](*draw.compared(prediction), generator)
                for state, draw, prediction, generator in zip(
                    states, draws, predictions.split(1), generators, strict=True
                )
            ]
            for state in states:
                state.optimizer.zero_grad(set_to_none=True)
            live = {(i, key): t for i, state in enumerate(states) for key, t in state.embedding.tensors.items()}
            backward(torch.stack(losses).sum(), latents, live)
        norms = [clip_gradients(state.embedding.tensors, state.settings) for state in states]
        for each, generator in zip(learning, generators, strict=True):
            drawing[id(each)].prepare(generator)
        # All at once, because reading from a GPU waits for it.
        read = torch.stack([*(loss.detach() for loss in losses), *(norm.to(losses[0]) for norm in norms)]).tolist()
        values = list(zip(states, read[: len(states)], read[len(states) :], generators, strict=True))
        for number, (state, loss, gradient, _) in enumerate(values, start=1):  # before any of them moves on
            require_finite(state, {"loss": loss, "gradient": gradient}, f" of clip {number} of {len(states)}")
        with uninterrupted():
            for state, loss, _, generator in values:
                advance(state, loss, generator)
        yield sum(not state.done for state in states)


def _acting(states: Sequence[TrainingState], latents: Tensor) -> PreparedPatch:
    """All embeddings as one patch, which has rows for every video."""
    frames, size = latents.shape[2], (latents.shape[3], latents.shape[4])
    patches = [
        MotionPatch(state.acting(), debias="vanilla").prepare(frames, size, latents.device, latents.dtype)
        for state in states
    ]
    grids = {layer: grid for state in states for layer, grid in state.embedding.grids.items()}
    return PreparedPatch(
        _joined([patch.query_key for patch in patches], lambda layer: prod(grids[layer])),
        _joined([patch.value for patch in patches], lambda key: prod(grids[key[0]])),
        patches[0].integration,
    )


def _joined(parts: Sequence[Mapping[Key, Tensor]], positions: Callable[[Key], int]) -> dict[Key, Tensor]:
    """`[videos · positions, f, c]` of every layer; nothing for a video whose embedding has none there."""
    keys = list(dict.fromkeys(key for part in parts for key in part))
    some = {key: m for part in parts for key, m in part.items()}
    return {
        key: torch.cat([part.get(key, torch.zeros_like(some[key])).expand(positions(key), -1, -1) for part in parts])
        for key in keys
    }
