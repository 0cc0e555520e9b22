"""Rendering: the shapes' geometry, positions and backgrounds against values known without the renderer."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from motion_lib.sprites import COLOURS, SHAPES, TEXTURES, TONES, Scenes, concatenate, random_scenes, render

BASE = random_scenes(1, 3, generator=torch.Generator().manual_seed(0))


def scene(**changes) -> Scenes:
    """A still red circle of radius 0.4 in the middle of plain grey, in white light, but for the changes."""
    still = {
        "shape": torch.tensor([SHAPES.index("circle")]),
        "colour": torch.tensor([list(COLOURS).index("red")]),
        "tone": torch.tensor([list(TONES).index("grey")]),
        "texture": torch.tensor([TEXTURES.index("plain")]),
        "position": torch.zeros(1, 3, 2),
        "radius": torch.full((1, 3), 0.4),
        "angle": torch.zeros(1, 3),
        "camera": torch.zeros(1, 3, 2),
        "zoom": torch.ones(1, 3),
        "roll": torch.zeros(1, 3),
        "light": torch.ones(1, 3),
    }
    return replace(BASE, **{**still, **changes})


def object_mask(frames: torch.Tensor) -> torch.Tensor:
    """`[f, h, w]`: grey has no chroma."""
    return frames[0].amax(1) - frames[0].amin(1) > 0.3


# In units of the squared radius, from school geometry.
AREAS = {
    "circle": math.pi * 0.85**2,
    "square": (2 * 0.76) ** 2,
    "triangle": 3 * math.sqrt(3) * 0.6**2,
    "star": 5 * 1.15 * 0.54 * math.sin(math.pi / 5),
    "heart": (2 * 0.56) ** 2 + math.pi * 0.56**2,
    "cross": 4 * 0.95 * 0.32 * 2 - (2 * 0.32) ** 2,
    "ring": math.pi * ((0.68 + 0.26) ** 2 - (0.68 - 0.26) ** 2),
}


@pytest.mark.parametrize("name", AREAS)
@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_areas(name: str, angle: float) -> None:
    shape = torch.tensor([SHAPES.index(name)])
    frames = render(scene(shape=shape, radius=torch.full((1, 3), 0.6), angle=torch.full((1, 3), angle)), 256)
    share = object_mask(frames)[0].float().mean()
    assert float(share) * 4 / 0.36 == pytest.approx(AREAS[name], rel=0.03)


@pytest.mark.parametrize("name", SHAPES)
def test_centroids_stay_when_the_object_turns(name: str) -> None:
    shape, angle = torch.tensor([SHAPES.index(name)]), torch.tensor([[0.0, 1.1, 2.5]])
    mask = object_mask(render(scene(shape=shape, angle=angle), 128)).float()
    axis = (torch.arange(128) + 0.5) / 64 - 1
    for frame in mask:
        x, y = (frame.sum(0) * axis).sum() / frame.sum(), (frame.sum(1) * axis).sum() / frame.sum()
        assert abs(float(x)) < 0.02 and abs(float(y)) < 0.02


def test_positions_run_right_and_down() -> None:
    position = torch.tensor([[[0.5, 0.0], [0.0, 0.5], [-0.5, -0.25]]])
    mask = object_mask(render(scene(position=position), 128))
    for frame, (x, y) in zip(mask, position[0].tolist(), strict=True):
        rows, columns = frame.nonzero().float().mean(0).tolist()
        assert ((columns + 0.5) / 64 - 1, (rows + 0.5) / 64 - 1) == pytest.approx((x, y), abs=0.01)


def test_turning_is_clockwise_on_the_screen() -> None:
    """The tip of a triangle points up, and right after a quarter turn."""
    shape, angle = torch.tensor([SHAPES.index("triangle")]), torch.tensor([[0.0, math.pi / 2, 0.0]])
    upright, turned, _ = object_mask(render(scene(shape=shape, angle=angle), 128))
    assert upright.sum(1)[75] > 2 * upright.sum(1)[50] > 0
    assert torch.equal(turned.sum(0)[:80] > 0, (upright.sum(1) > 0).flip(0)[:80])


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("tone", TONES)
def test_colours(colour: str, tone: str) -> None:
    labels = {"colour": torch.tensor([list(COLOURS).index(colour)]), "tone": torch.tensor([list(TONES).index(tone)])}
    light = torch.tensor([[0.9, 1.0, 0.95]])
    frame = render(scene(**labels, light=light), 32)[0, 0]
    torch.testing.assert_close(frame[:, 16, 16], torch.tensor(COLOURS[colour]) * light[0])
    torch.testing.assert_close(frame[:, 1, 1], torch.tensor(TONES[tone][0]) * light[0])


@pytest.mark.parametrize("texture", [t for t in TEXTURES if t != "plain"])
def test_textures_show_both_tones_and_follow_the_camera(texture: str) -> None:
    """Moving the camera right by half a side moves the background left by as much; the object stays."""
    camera = torch.tensor([[[0.0, 0.0], [0.5, 0.0], [0.0, 0.25]]])
    frames = render(scene(texture=torch.tensor([TEXTURES.index(texture)]), camera=camera), 128)[0]
    grey = frames[0][0][object_mask(frames[None])[0].logical_not()]
    assert grey.min() < 0.46 and grey.max() > 0.5
    top = slice(0, 20)  # above the object
    torch.testing.assert_close(frames[1][:, top, :96], frames[0][:, top, 32:], rtol=0, atol=1e-3)
    torch.testing.assert_close(frames[2][:, :10], frames[0][:, 16:26], rtol=0, atol=1e-3)
    assert torch.equal(object_mask(frames[None])[0], object_mask(frames[None])[1])


def test_batches_are_rendered_clip_by_clip() -> None:
    scenes = random_scenes(6, 3, generator=torch.Generator().manual_seed(1))
    together = render(scenes, 32)
    assert together.shape == (6, 3, 3, 32, 32) and 0 <= together.min() and together.max() <= 1
    for i in range(6):
        torch.testing.assert_close(render(scenes[i : i + 1], 32)[0], together[i])
    torch.testing.assert_close(render(concatenate([scenes[:2], scenes[2:]]), 32), together)
