"""Cases of image to video: every prompt comes with a picture that its video begins with. In it the object is at another
place and of another size than the reference's."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import MotionError
from ..sprites import Scenes, concatenate, parse_caption, render
from ..sprites.motions import reference as scene_of
from .cases import Case, as_frames

PLACES = ("near", "far")
SHRUNK, CORNER = 0.45, (-0.28, -0.25)  # a motion that leaves room for objects elsewhere: its extent, and where it is
FAR = (((0.56, 0.5), 1.0), ((0.56, 0.0), 1.25), ((0.0, 0.5), 0.75))  # offsets and sizes, prompt by prompt
AWAY, SIZES = 0.22, (0.75, 1.3)  # as far as objects stay in the picture all along, in half image sides; factors


@dataclass(frozen=True)
class Start:
    """Where the object of a picture is: offset (x, y) from where the reference's begins, in half image sides, and how
    many times its size."""

    offset: tuple[float, float]
    scale: float


def with_pictures(case: Case, place: str = "near") -> Case:
    """The same with a picture for every prompt. place: near, at most .11 of the picture from where the clip's object
    is, or far, a quarter of it away, for which the motion is made smaller and goes to a corner.

    Raises MotionError for a clip that was not rendered, and far for one in a foreign look.
    """
    if case.truth is None:
        raise MotionError(f"The motion of {case.name} is not known, so no pictures can be drawn that it should move.")
    if place == "far":
        case = _in_a_corner(case)
        starts = tuple(Start(*FAR[i % len(FAR)]) for i in range(len(case.prompts)))
    else:
        starts = tuple(map(_start, (f"{case.name}/{prompt}" for prompt in case.prompts)))
    drawn = replace(case, starts=starts)
    return replace(drawn, pictures=tuple(answer(drawn, [p], [0], frames=1)[0][0] for p in case.prompts))


def answer(case: Case, prompts: Sequence[str], seeds: Sequence[int], frames: int | None = None) -> list[Tensor]:
    """The right videos, uint8 `[f, h, w, 3]` each: a prompt's own words moving as the reference does, from where its
    picture has them if there is one. seeds: what the words leave open; with pictures it is as in these. frames: the
    first so many, or all."""
    assert case.truth is not None
    length, size = case.truth.frames, case.frames.shape[1]
    scenes = concatenate([_scene(case, prompt, length, seed) for prompt, seed in zip(prompts, seeds, strict=True)])
    return [as_frames(video)[:frames] for video in render(scenes, size)]


def _scene(case: Case, prompt: str, frames: int, seed: int) -> Scenes:
    if not case.starts:
        return scene_of(case.name, parse_caption(prompt), frames, seed)
    assert case.truth is not None
    start = case.start_of(prompt)
    own = scene_of(case.name, parse_caption(prompt), frames, zlib.crc32(prompt.encode()))
    return replace(own, position=case.truth.position + torch.tensor(start.offset), radius=own.radius * start.scale)


def _in_a_corner(case: Case) -> Case:
    if case.foreign:
        raise MotionError(
            "Pictures far from the clip's object are not drawn for clips in foreign looks: leave out one."
        )
    assert case.truth is not None
    truth = replace(case.truth, position=SHRUNK * case.truth.position + torch.tensor(CORNER))
    return replace(case, truth=truth, frames=as_frames(render(truth, case.frames.shape[1])[0]))


def _start(name: str) -> Start:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    x, y, size = torch.rand(3, generator=generator).tolist()
    return Start((AWAY * (2 * x - 1), AWAY * (2 * y - 1)), SIZES[0] + (SIZES[1] - SIZES[0]) * size)
