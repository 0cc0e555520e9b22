"""Rendering scenes to frames, on any device, without a loop over clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .scene import Scenes
from .vocabulary import COLOURS, SHAPES, TEXTURES, TONES


def render(scenes: Scenes, size: int = 128) -> Tensor:
    """Frames `[b, f, 3, size, size]` in [0, 1] on the device of the scenes."""
    axis = (torch.arange(size, device=scenes.position.device) + 0.5) * (2 / size) - 1
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)[None, None]
    background = _background(scenes, grid, size)
    cover = _object_cover(scenes, grid, size)[:, :, None]
    colours = torch.tensor(list(COLOURS.values()))[scenes.colour].to(grid.device)[:, None, :, None, None]
    frames = background + cover * (colours - background)
    return (frames * scenes.light[:, None, :, None, None]).clamp(0, 1)


def _groups(labels: Tensor, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """Each label that occurs, with the indices of its clips on the device. Labels live on the CPU, so that this never
    waits for a GPU."""
    for label in labels.unique().tolist():
        yield label, (labels == label).nonzero()[:, 0].to(device)


def _turn(points: Tensor, angle: Tensor) -> Tensor:
    c, s = angle.cos()[..., None, None], angle.sin()[..., None, None]
    x, y = points.unbind(-1)
    return torch.stack([c * x + s * y, c * y - s * x], dim=-1)


def _object_cover(scenes: Scenes, grid: Tensor, size: int) -> Tensor:
    """How much of each pixel the object covers, `[b, f, size, size]`: its signed distance, softened over one pixel."""
    radius = scenes.radius[..., None, None]
    local = _turn(grid - scenes.position[:, :, None, None], scenes.angle) / radius[..., None]
    distance = torch.empty(local.shape[:-1], device=local.device)
    for i, mine in _groups(scenes.shape, grid.device):
        distance[mine] = DISTANCES[SHAPES[i]](local[mine])
    return (0.5 - distance * radius * (size / 2)).clamp(0, 1)


def _background(scenes: Scenes, grid: Tensor, size: int) -> Tensor:
    """`[b, f, 3, size, size]`: the two colours of the tone, mixed by the texture the camera sees."""
    world = _turn(grid, scenes.roll) / scenes.zoom[..., None, None, None] + scenes.camera[:, :, None, None]
    mix = torch.zeros(world.shape[:-1], device=world.device)
    pixel = 2 / (size * scenes.zoom)[..., None, None]
    for i, mine in _groups(scenes.texture, grid.device):
        if TEXTURES[i] != "plain":
            own = (scenes.period, scenes.direction, scenes.phase, scenes.waves)
            mix[mine] = PATTERNS[TEXTURES[i]](world[mine], pixel[mine], *(detail[mine] for detail in own))
    tones = torch.tensor(list(TONES.values()))[scenes.tone].to(grid.device)
    first, second = (tones[:, j][:, None, :, None, None] for j in (0, 1))
    return first + mix[:, :, None] * (second - first)


def _soft_step(signed: Tensor, width: Tensor) -> Tensor:
    """0 below and 1 above zero, with a ramp of the given full width."""
    return (signed / width + 0.5).clamp(0, 1)


# Textures: points `[b, f, h, w, 2]`, pixel sizes `[b, f, 1, 1]`, then period, direction, phase, waves of `Scenes`.


def _striped(world: Tensor, pixel: Tensor, period: Tensor, direction: Tensor, phase: Tensor, waves: Tensor) -> Tensor:
    c, s = direction.cos()[:, None, None, None], direction.sin()[:, None, None, None]
    period = period[:, None, None, None]
    u = (world[..., 0] * c + world[..., 1] * s) / period + phase[:, 0, None, None, None]
    return _soft_step(((u % 1) - 0.5).abs() - 0.25, 2 * pixel / period)


def _checkered(world: Tensor, pixel: Tensor, period: Tensor, direction: Tensor, phase: Tensor, waves: Tensor) -> Tensor:
    period = 1.5 * period[:, None, None, None, None]
    u = (world / period + phase[:, None, None, None]) % 1
    edge = _soft_step((u - 0.5).abs() - 0.25, 2 * pixel[..., None] / period)
    a, b = edge.unbind(-1)
    return a + b - 2 * a * b


def _dotted(world: Tensor, pixel: Tensor, period: Tensor, direction: Tensor, phase: Tensor, waves: Tensor) -> Tensor:
    period = period[:, None, None, None, None]
    u = (world / period + phase[:, None, None, None]) % 1 - 0.5
    return _soft_step(0.3 - u.norm(dim=-1), 2 * pixel / period[..., 0])


def _cloudy(world: Tensor, pixel: Tensor, period: Tensor, direction: Tensor, phase: Tensor, waves: Tensor) -> Tensor:
    total = torch.zeros(world.shape[:-1], device=world.device)
    for wave in waves.unbind(dim=1):
        kx, ky, shift = (wave[:, i, None, None, None] for i in range(3))
        total += torch.cos(world[..., 0] * kx + world[..., 1] * ky + shift)
    return (0.5 + 0.3 * total / math.sqrt(waves.shape[1] / 2)).clamp(0, 1)


PATTERNS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "striped": _striped,
    "checkered": _checkered,
    "dotted": _dotted,
    "cloudy": _cloudy,
}


# Signed distances of the shapes, in units of the radius; points `[..., 2]` in the object's coordinates, whose origin
# is the shape's centroid, so that a turning object does not sway.


def _circle(p: Tensor) -> Tensor:
    return p.norm(dim=-1) - 0.85


def _box(p: Tensor, half_width: float, half_height: float) -> Tensor:
    return torch.maximum(p[..., 0].abs() - half_width, p[..., 1].abs() - half_height)


def _square(p: Tensor) -> Tensor:
    return _box(p, 0.76, 0.76)


def _triangle(p: Tensor) -> Tensor:
    x, y = p[..., 0].abs(), p[..., 1]
    return torch.maximum(x * math.cos(math.pi / 6) - y * 0.5, y) - 0.6


def _star(p: Tensor) -> Tensor:
    angle = torch.atan2(p[..., 0], -p[..., 1])
    sector = math.tau / 5
    folded = (((angle / sector + 0.5) % 1) - 0.5).abs() * sector
    length = p.norm(dim=-1)
    x, y = length * folded.sin(), length * folded.cos()
    # The edge runs from the tip (0, 1.15) to the notch between two tips, at radius 0.54.
    tip, notch = (0.0, 1.15), (0.54 * math.sin(sector / 2), 0.54 * math.cos(sector / 2))
    ex, ey = notch[0] - tip[0], notch[1] - tip[1]
    return ((y - tip[1]) * ex - (x - tip[0]) * ey) / math.hypot(ex, ey)


def _heart(p: Tensor) -> Tensor:
    # A square standing on its corner with a disc on each of its two upper sides.
    a = 0.56
    x, y = p[..., 0].abs(), p[..., 1] - 0.2484
    diamond = (x + y.abs()) / math.sqrt(2) - a
    disc = torch.hypot(x - a / math.sqrt(2), y + a / math.sqrt(2)) - a
    return torch.minimum(diamond, disc)


def _cross(p: Tensor) -> Tensor:
    return torch.minimum(_box(p, 0.95, 0.32), _box(p, 0.32, 0.95))


def _ring(p: Tensor) -> Tensor:
    return (p.norm(dim=-1) - 0.68).abs() - 0.26


def _moon(p: Tensor) -> Tensor:
    x, y = p[..., 0] - 0.3287, p[..., 1]
    return torch.maximum(torch.hypot(x, y) - 0.98, 0.72 - torch.hypot(x - 0.5, y))


DISTANCES: dict[str, Callable[[Tensor], Tensor]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "cross": _cross,
    "ring": _ring,
    "moon": _moon,
}
