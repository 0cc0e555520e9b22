"""Motions whose truth is known: paths of an object and moves of a camera, for reference clips.

None is drawn as the training clips of `sprite_t2v` are: those follow splines through random points.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .scene import Scenes, texture_details
from .vocabulary import COLOURS, SHAPES, TEXTURES, TONES, Words

Move = Callable[[Tensor], dict[str, Tensor]]
REACH = 0.5  # half image sides: how far a motion goes from the centre


def _at(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    return {"position": REACH * torch.stack([x, y], dim=-1)}


def figure_eight(t: Tensor) -> dict[str, Tensor]:
    return _at((math.tau * t).sin(), 0.56 * (2 * math.tau * t).sin())


def spiral(t: Tensor) -> dict[str, Tensor]:
    angle, out = 1.5 * math.tau * t, 0.25 + 0.75 * t
    return _at(out * angle.cos(), out * angle.sin())


def zigzag(t: Tensor) -> dict[str, Tensor]:
    return _at(2 * t - 1, 0.7 * (4 * (1.5 * t % 1 - 0.5).abs() - 1))


def bounce(t: Tensor) -> dict[str, Tensor]:
    return _at(1.6 * t - 0.8, 0.9 - 1.7 * (math.tau * t).sin().abs())


def orbit(t: Tensor) -> dict[str, Tensor]:
    return _at((math.tau * t).cos(), (math.tau * t).sin())


def stop_and_go(t: Tensor) -> dict[str, Tensor]:
    early, late = (t / 0.35).clamp(0, 1), ((t - 0.65) / 0.35).clamp(0, 1)
    return _at(-0.9 + 1.8 * _smooth(early), 0.8 - 1.6 * _smooth(late))


def grow(t: Tensor) -> dict[str, Tensor]:
    return {"radius": 0.2 * (0.85 * t).exp()}


def spin(t: Tensor) -> dict[str, Tensor]:
    return {"angle": 0.75 * math.tau * t}


def pan(t: Tensor) -> dict[str, Tensor]:
    return {"camera": torch.stack([1.4 * t, torch.zeros_like(t)], dim=-1)}


def tilt(t: Tensor) -> dict[str, Tensor]:
    return {"camera": torch.stack([torch.zeros_like(t), -1.2 * t], dim=-1)}


def zoom(t: Tensor) -> dict[str, Tensor]:
    return {"zoom": (0.6 * t).exp()}


def shake(t: Tensor) -> dict[str, Tensor]:
    return {"camera": 0.07 * torch.stack([(8.0 * t).sin() + (21.0 * t).sin(), 1.4 * (14.0 * t).sin()], dim=-1)}


def eight_and_pan(t: Tensor) -> dict[str, Tensor]:
    return figure_eight(t) | pan(t)


# Motions to choose settings on, so that the others stay unseen until methods are compared.


def ellipse(t: Tensor) -> dict[str, Tensor]:
    angle = -math.tau * (1.2 * t + 0.1)
    x, y = angle.cos(), 0.45 * angle.sin()
    return _at(0.8 * x - 0.6 * y, 0.6 * x + 0.8 * y)


def loop_the_loop(t: Tensor) -> dict[str, Tensor]:
    angle = math.tau * (1.5 * t - 0.25)
    return _at(1.3 * t - 0.65 - 0.45 * angle.cos(), 0.15 + 0.65 * angle.sin())


def lissajous(t: Tensor) -> dict[str, Tensor]:
    return _at((math.tau * t).sin(), 0.9 * (1.5 * math.tau * t).cos())


def sway(t: Tensor) -> dict[str, Tensor]:
    return _at(2 * t - 1, 0.8 * (math.tau * t).sin())


def round_the_square(t: Tensor) -> dict[str, Tensor]:
    x, y = (1.3 * (math.tau * t).cos()).clamp(-0.92, 0.92), (1.3 * (math.tau * t).sin()).clamp(-0.92, 0.92)
    return _at(x, y)


def hook(t: Tensor) -> dict[str, Tensor]:
    return _at(1.6 * (math.pi * t).sin() - 0.8, 1 - 2 * t)


def slow_diagonal_pan(t: Tensor) -> dict[str, Tensor]:
    return {"camera": torch.stack([-0.7 * _smooth(t), -0.5 * t], dim=-1)}


def sway_camera(t: Tensor) -> dict[str, Tensor]:
    return {"camera": torch.stack([0.35 * (math.tau * t).sin(), torch.zeros_like(t)], dim=-1)}


def wander(t: Tensor) -> dict[str, Tensor]:
    return {"camera": 0.1 * torch.stack([(9 * t).sin() + (15 * t).sin(), 1.3 * (12 * t).cos()], dim=-1)}


def zoom_out(t: Tensor) -> dict[str, Tensor]:
    return {"zoom": (-0.5 * t).exp()}


def roll_over(t: Tensor) -> dict[str, Tensor]:
    return {"roll": 0.8 * t, "camera": torch.stack([0.3 * t, torch.zeros_like(t)], dim=-1)}


def ellipse_and_tilt(t: Tensor) -> dict[str, Tensor]:
    return ellipse(t) | {"camera": torch.stack([torch.zeros_like(t), 1.1 * t], dim=-1)}


def _smooth(t: Tensor) -> Tensor:
    return t * t * (3 - 2 * t)


OBJECT_MOTIONS: dict[str, Move] = {
    move.__name__: move for move in (figure_eight, spiral, zigzag, bounce, orbit, stop_and_go, grow, spin)
}
CAMERA_MOTIONS: dict[str, Move] = {move.__name__: move for move in (pan, tilt, zoom, shake)}
MOTIONS: dict[str, Move] = {**OBJECT_MOTIONS, **CAMERA_MOTIONS, "eight_and_pan": eight_and_pan}
SEARCH_MOTIONS: dict[str, Move] = {
    move.__name__: move
    for move in (
        *(ellipse, loop_the_loop, lissajous, sway, round_the_square, hook),
        *(slow_diagonal_pan, sway_camera, wander, zoom_out, roll_over, ellipse_and_tilt),
    )
}


def reference(motion: str, words: Words, frames: int = 16, seed: int = 0) -> Scenes:
    """One scene that moves by the named motion, of MOTIONS or SEARCH_MOTIONS, and looks as `words` say; `seed`
    decides what the words leave open."""
    still = {
        "position": torch.zeros(frames, 2),
        "radius": torch.full((frames,), 0.3),
        "angle": torch.zeros(frames),
        "camera": torch.zeros(frames, 2),
        "zoom": torch.ones(frames),
        "roll": torch.zeros(frames),
    }
    moved = still | (MOTIONS | SEARCH_MOTIONS)[motion](torch.linspace(0, 1, frames))
    return Scenes(
        shape=torch.tensor([SHAPES.index(words.shape or "circle")]),
        colour=torch.tensor([list(COLOURS).index(words.colour or "red")]),
        tone=torch.tensor([list(TONES).index(words.tone or "grey")]),
        texture=torch.tensor([TEXTURES.index(words.texture or "plain")]),
        **{name: value[None] for name, value in moved.items()},
        **texture_details(1, torch.Generator().manual_seed(seed)),
        light=torch.ones(1, 3),
    )
