"""Motions to learn codes from: paths of many kinds, wider than those that sprite_t2v was trained on, and cameras.

They are drawn at random, also where a kind has a name such as circles or hops; the motions that benchmarks use
(`../motions.py`) are never drawn themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..scene import random_scenes

FASTEST = 0.32  # half image sides a frame: faster than any clip that sprite_t2v has seen
REACH = 0.78  # half image sides: how far an object's centre goes
KINDS = ("spline", "waves", "circles", "corners", "hops", "pauses", "still")
SHARES = (0.34, 0.18, 0.14, 0.12, 0.1, 0.06, 0.06)
CAMERA_KINDS = ("still", "spline", "steady", "zoom", "shake", "roll", "all")
CAMERA_SHARES = (0.25, 0.25, 0.2, 0.1, 0.08, 0.04, 0.08)


@dataclass
class Objects:
    """position `[n, f, 2]`, radius `[n, f]` and angle `[n, f]`, as in Scenes."""

    position: Tensor
    radius: Tensor
    angle: Tensor


@dataclass
class Cameras:
    """camera `[n, f, 2]`, zoom `[n, f]` and roll `[n, f]`, as in Scenes."""

    camera: Tensor
    zoom: Tensor
    roll: Tensor


class _Draw:
    def __init__(self, n: int, generator: torch.Generator):
        self.n, self.generator = n, generator

    def between(self, low: float, high: float, *more: int) -> Tensor:
        return low + (high - low) * torch.rand(self.n, *more, generator=self.generator)

    def sign(self) -> Tensor:
        return torch.randint(2, (self.n,), generator=self.generator) * 2.0 - 1

    def kind(self, shares: tuple[float, ...]) -> Tensor:
        return torch.multinomial(torch.tensor(shares), self.n, replacement=True, generator=self.generator)


def random_objects(n: int, frames: int, generator: torch.Generator) -> Objects:
    """`n` objects' motions, reproducible from the generator."""
    draw = _Draw(n, generator)
    usual = random_scenes(n, frames, generator=generator)
    time = torch.linspace(0, 1, frames)[None]
    paths = [
        usual.position * draw.between(0.7, 1.1)[:, None, None],
        _waves(draw, time),
        _circles(draw, time),
        _corners(draw, time),
        _hops(draw, time),
        _pauses(draw, time),
        draw.between(-0.5, 0.5, 2)[:, None].expand(-1, frames, -1),
    ]
    kind = draw.kind(SHARES)
    position = torch.stack(paths, dim=1)[torch.arange(n), kind]
    position = _within(_slowed(position), REACH)
    return Objects(position, usual.radius, usual.angle)


def random_cameras(n: int, frames: int, generator: torch.Generator) -> Cameras:
    """`n` cameras' motions, reproducible from the generator; each begins at the origin."""
    draw = _Draw(n, generator)
    usual = random_scenes(n, frames, generator=generator)  # its objects' curves serve as the cameras'
    time = torch.linspace(0, 1, frames)[None, :, None]
    kind = draw.kind(CAMERA_SHARES)
    spline = usual.position * draw.between(0.4, 1.6)[:, None, None]
    heading, length = draw.between(0, math.tau), draw.between(0.3, 1.8)
    ease = draw.between(-0.4, 0.4)[:, None, None]
    way = torch.stack([heading.cos(), heading.sin()], dim=-1)[:, None] * length[:, None, None]
    steady = way * (time + ease * time * (1 - time))
    shaking = _shaking(draw, time)
    nothing = torch.zeros_like(spline)
    both = steady * 0.6 + 0.5 * shaking
    paths = torch.stack([nothing, spline, steady, nothing, shaking, steady * 0.4, both], dim=1)
    camera = paths[torch.arange(n), kind]
    speed = draw.between(-0.65, 0.65)[:, None]
    zoom = speed * (time + ease * time * (1 - time))[..., 0]
    turn = draw.between(-0.9, 0.9)[:, None]
    roll = turn * (time + ease * time * (1 - time))[..., 0]
    zooms = ((kind == 3) | (kind == 6))[:, None]
    rolls = ((kind == 5) | ((kind == 6) & (draw.between(0, 1) < 0.4)))[:, None]
    camera = _slowed(camera - camera[:, :1], 0.2)
    return Cameras(camera - camera[:, :1], (zoom * zooms).exp(), roll * rolls)


def _slowed(path: Tensor, fastest: float = FASTEST) -> Tensor:
    step = path.diff(dim=1).norm(dim=-1).amax(dim=1).clamp(min=1e-6)
    centre = path.mean(dim=1, keepdim=True)
    return centre + (path - centre) * (fastest / step).clamp(max=1)[:, None, None]


def _within(path: Tensor, reach: float) -> Tensor:
    """Moved back, and where it is too wide shrunk, until it stays in sight."""
    low, high = path.amin(dim=1, keepdim=True), path.amax(dim=1, keepdim=True)
    centre, half = (low + high) / 2, (high - low) / 2
    shrunk = (path - centre) * (reach / half.clamp(min=1e-6)).clamp(max=1)
    room = (reach - half).clamp(min=0)
    return shrunk + torch.minimum(torch.maximum(centre, -room), room)


def _waves(draw: _Draw, time: Tensor) -> Tensor:
    """Two waves along each axis, of 0.3 to 2.4 periods."""
    strength, periods = draw.between(0.1, 0.5, 2, 2), draw.between(0.3, 2.4, 2, 2)
    phase = draw.between(0, math.tau, 2, 2)
    waves = strength[:, None] * (math.tau * periods[:, None] * time[..., None, None] + phase[:, None]).sin()
    return waves.sum(dim=-1)


def _circles(draw: _Draw, time: Tensor) -> Tensor:
    """Ellipses and spirals, in either sense, of half a turn to one and a half."""
    turns = draw.between(0.6, 1.6) * draw.sign()
    angle = math.tau * (turns[:, None] * time + draw.between(0, 1)[:, None])
    first, last = draw.between(0.15, 0.65), draw.between(0.15, 0.65)
    same = draw.between(0, 1) < 0.6
    radius = first[:, None] + (torch.where(same, first, last) - first)[:, None] * time
    x, y = radius * angle.cos(), radius * draw.between(0.5, 1)[:, None] * angle.sin()
    lean = draw.between(0, math.pi)[:, None]
    path = torch.stack([lean.cos() * x - lean.sin() * y, lean.sin() * x + lean.cos() * y], dim=-1)
    return path + draw.between(-0.3, 0.3, 2)[:, None]


def _corners(draw: _Draw, time: Tensor) -> Tensor:
    """Straight from one random point to the next, two to five of them, at an even pace."""
    points = draw.between(-0.75, 0.75, 6, 2)
    at = time * torch.randint(1, 5, (draw.n, 1), generator=draw.generator)
    return _between(points, at)


def _hops(draw: _Draw, time: Tensor) -> Tensor:
    """Arcs over a floor, one to three, while it goes to a side or stays."""
    hops, phase = draw.between(0.8, 3), draw.between(0, 1)
    height = draw.between(0.3, 0.9)
    drift = torch.where(draw.between(0, 1) < 0.25, torch.zeros(draw.n), draw.between(0.4, 1.6) * draw.sign())
    x = drift[:, None] * (time - 0.5)
    y = -height[:, None] * (math.pi * (hops[:, None] * time + phase[:, None])).sin().abs()
    return torch.stack([x, y], dim=-1) + torch.stack([draw.between(-0.2, 0.2), draw.between(0, 0.7)], dim=-1)[:, None]


def _pauses(draw: _Draw, time: Tensor) -> Tensor:
    """From point to point with rests between them."""
    points = draw.between(-0.75, 0.75, 6, 2)
    legs = torch.randint(1, 4, (draw.n, 1), generator=draw.generator)
    at = time * legs
    within = ((at - at.floor()) / draw.between(0.4, 0.8)[:, None]).clamp(0, 1)
    return _between(points, at.floor() + within * within * (3 - 2 * within))


def _between(points: Tensor, at: Tensor) -> Tensor:
    """Points `[n, p, 2]`, read at `[n, f]`, linearly between them."""
    k = at.long().clamp(0, points.shape[1] - 2)
    first, second = (points.gather(1, (k + i)[..., None].expand(-1, -1, 2)) for i in (0, 1))
    return first + (at - k)[..., None] * (second - first)


def _shaking(draw: _Draw, time: Tensor) -> Tensor:
    strength, rate = draw.between(0.02, 0.09, 2, 2), draw.between(6, 26, 2, 2)
    phase = draw.between(0, math.tau, 2, 2)
    waves = strength[:, None] * (rate[:, None] * time[..., None] + phase[:, None]).sin()
    return waves.sum(dim=-1)
