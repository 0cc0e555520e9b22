"""Stand-ins: simple shapes in many looks that take the course of the thing in a clip, so that nothing but the course is
common to all of them.

An embedding that is learned from one clip may take over what its thing looks like, and what lies behind it. Learned
from several clips that share only a motion, it cannot; and what each shows is known, word for word.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import MotionError
from ..video.course import Course
from .checker import SYMMETRY
from .render import DISTANCES, render
from .scene import Scenes, random_scenes
from .vocabulary import COLOURS, SHAPES, TEXTURES, TONES, caption

STAND_INS = 8
MOST = 32
AT_ONCE = 8  # frames that are drawn at once
TILT = 0.25  # radians to either side
ALONG = ("position", "radius", "angle", "camera", "zoom", "roll")  # what a scene has for every frame


class StandIn(NamedTuple):
    """frames: uint8 `[f, h, w, 3]`; prompt: what they show."""

    frames: Tensor
    prompt: str


def stand_ins(frames: Tensor, count: int = STAND_INS, seed: int = 0, mask: Tensor | None = None) -> list[StandIn]:
    """Clips in which a shape takes the course of what moves in a clip uint8 `[f, h, w, 3]`: where it is, how it grows
    and how it turns, before a background that stands still. mask: see `Course.of`.

    Raises MotionError for fewer than 1 or more than 32, and what `Course.of` refuses.
    """
    if not 1 <= count <= MOST:
        raise MotionError(f"count is {count}, but there can be 1 to {MOST} stand-ins.")
    course = Course.of(frames, mask)
    scenes = _scenes(course, count, seed)
    height, width = frames.shape[1:3]
    drawn = (_drawn(scenes[i : i + 1], height, width) for i in range(count))
    return [StandIn(clip, caption(scenes.words(i))) for i, clip in enumerate(drawn)]


def _scenes(course: Course, count: int, seed: int) -> Scenes:
    """Every shape once before any comes twice, and so with colours and tones."""
    generator = torch.Generator().manual_seed(seed)
    turns = bool(course.angle.any())
    shapes = [SHAPES.index(shape) for shape in (SYMMETRY if turns else SHAPES)]  # a disc would not show it
    scenes = random_scenes(count, len(course.radius), generator=generator)
    tilt = (2 * torch.rand(count, 1, generator=generator) - 1) * TILT
    shape = _in_turn(shapes, count, generator)
    share = torch.tensor([_area(SHAPES[int(i)]) for i in shape])
    return replace(
        scenes,
        shape=shape,
        colour=_in_turn(range(len(COLOURS)), count, generator),
        tone=_in_turn(range(len(TONES)), count, generator),
        texture=torch.full((count,), TEXTURES.index("plain")),  # with patterns, more shapes come out wrong
        position=course.centre.expand(count, -1, -1),
        radius=course.radius * (math.pi / share).sqrt()[:, None],
        angle=course.angle + tilt,
        camera=torch.zeros_like(scenes.camera),
        zoom=torch.ones_like(scenes.zoom),
        roll=torch.zeros_like(scenes.roll),
    )


def _in_turn(values: range | list[int], count: int, generator: torch.Generator) -> Tensor:
    order = [values[int(i)] for i in torch.randperm(len(values), generator=generator)]
    return torch.tensor([order[i % len(order)] for i in range(count)])


def _area(shape: str) -> float:
    """Of a shape of radius 1."""
    axis = torch.linspace(-1.5, 1.5, 301)
    inside = DISTANCES[shape](torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)[None, None]) < 0
    return float(inside.float().mean()) * 9


def _drawn(scene: Scenes, height: int, width: int) -> Tensor:
    """uint8 `[f, h, w, 3]` of one scene: the middle of a square as large as the longer side."""
    side, parts = max(height, width), []
    top, left = (side - height) // 2, (side - width) // 2
    for begin in range(0, scene.frames, AT_ONCE):
        now = {name: getattr(scene, name)[:, begin : begin + AT_ONCE] for name in ALONG}
        (drawn,) = render(replace(scene, **now), side)
        parts.append(drawn[..., top : top + height, left : left + width])
    return (torch.cat(parts) * 255).round().byte().permute(0, 2, 3, 1).contiguous()
