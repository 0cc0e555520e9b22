"""Objects: how they move, what form they have, and how much of every pixel they cover."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..render import DISTANCES, _turn
from ..vocabulary import SHAPES
from .batch import Batch, groups
from .paint import Paint, turned

CORNERS = 8  # of every polygon's outline; a triangle has some of them on its edges
LIMBS = 4
BODIES = (*SHAPES, "polygon", "blob", "figure")
NOTHING = -1


@dataclass
class Motion(Batch):
    """Where one object is: position `[b, f, 2]`, radius and angle `[b, f]` as in `Scenes`; stretch `[b, f]`, by how
    much it is longer along axis `[b, f]` (an angle on the screen) and thinner across; swing `[b, f, 4, 2]`, by how much
    the upper and lower half of each limb of a figure are turned."""

    position: Tensor
    radius: Tensor
    angle: Tensor
    stretch: Tensor
    axis: Tensor
    swing: Tensor


@dataclass
class Body(Batch):
    """What one object is: form `[b]`, an index into BODIES or NOTHING; outline `[b, 8, 2]`, corners of a polygon;
    bumps `[b, 4, 2]`, height and place of a blob's waves; build `[b, 3]`, thickness of a figure's trunk and limbs and
    size of its head; paint, in radii of the object; shading `[b, 2]`, how much brighter it is per radius to a side."""

    form: Tensor
    outline: Tensor
    bumps: Tensor
    build: Tensor
    paint: Paint
    shading: Tensor


def local_points(motion: Motion, grid: Tensor) -> Tensor:
    """Points of the screen `[1, 1, h, w, 2]` in the object's coordinates, in radii: `[b, f, h, w, 2]`."""
    away = grid - motion.position[:, :, None, None]
    along = turned(motion.axis)[:, :, None, None]
    part = (away * along).sum(-1, keepdim=True)
    longer = motion.stretch[:, :, None, None, None]
    # Area is kept: as much thinner across as longer along.
    away = (away - part * along) * longer + part * along / longer
    return _turn(away, motion.angle) / motion.radius[:, :, None, None, None]


def cover(motion: Motion, body: Body, local: Tensor, softness: Tensor | float) -> Tensor:
    """How much of each pixel an object covers, `[b, f, h, w]`; `softness` is the width of its edge in half image
    sides."""
    distance = torch.full(local.shape[:-1], 9.0, device=local.device)
    for i, clips in groups(body.form):
        if i == NOTHING:
            continue
        mine = clips.to(local.device, non_blocking=True)
        name, at = BODIES[i], local[mine]
        if name == "polygon":
            distance[mine] = _polygon(at, body.outline[mine])
        elif name == "blob":
            distance[mine] = _blob(at, body.bumps[mine])
        elif name == "figure":
            distance[mine] = _figure(at, body.build[mine], motion.swing[mine])
        else:
            distance[mine] = DISTANCES[name](at)
    return (0.5 - distance * motion.radius[..., None, None] / softness).clamp(0, 1)


def _polygon(at: Tensor, corners: Tensor) -> Tensor:
    """Signed distance to polygons with corners `[b, 8, 2]`: nearest edge, and the parity of edges to the right."""
    nearest = torch.full(at.shape[:-1], 99.0, device=at.device)
    sign = torch.ones_like(nearest)
    for i in range(CORNERS):
        a, b = (corners[:, j, None, None, None] for j in (i, (i + 1) % CORNERS))
        edge, to = b - a, at - a
        share = ((to * edge).sum(-1) / edge.square().sum(-1).clamp(min=1e-9)).clamp(0, 1)
        nearest = torch.minimum(nearest, (to - share[..., None] * edge).square().sum(-1))
        above, below = at[..., 1] >= a[..., 1], at[..., 1] >= b[..., 1]
        right = edge[..., 0] * to[..., 1] - edge[..., 1] * to[..., 0]
        crossed = torch.where(above, ~below & (right < 0), below & (right > 0))
        sign = torch.where(crossed, -sign, sign)
    return sign * nearest.clamp(min=1e-12).sqrt()


def _blob(at: Tensor, bumps: Tensor) -> Tensor:
    angle, length = torch.atan2(at[..., 1], at[..., 0]), at.norm(dim=-1)
    radius, slope = torch.full_like(length, 0.8), torch.zeros_like(length)
    for n, bump in enumerate(bumps.unbind(1), start=2):
        height, place = (bump[:, i, None, None, None] for i in (0, 1))
        radius = radius + height * torch.cos(n * angle + place)
        slope = slope - n * height * torch.sin(n * angle + place)
    return (length - radius) / (1 + (slope / radius).square()).sqrt()


def _figure(at: Tensor, build: Tensor, swing: Tensor) -> Tensor:
    """A trunk, a head and four limbs of two halves each, that hang down (arms) and stand (legs) when nothing swings."""
    trunk, limb, head = (build[:, i, None, None, None] for i in range(3))
    zero = swing.new_zeros(())

    def point(x: float, y: float) -> Tensor:
        return torch.stack([zero + x, zero + y]).expand(*swing.shape[:2], 2)

    shoulder, hip = point(0, -0.42), point(0, 0.18)
    distance = _capsule(at, shoulder, hip) - trunk
    distance = torch.minimum(distance, (at - point(0, -0.80)[:, :, None, None]).norm(dim=-1) - head)
    for i in range(LIMBS):
        start, rest = (shoulder, 0.35 if i else -0.35) if i < 2 else (hip, 0.22 if i == 3 else -0.22)
        upper = swing[:, :, i, 0] + rest + math.pi / 2
        lower = upper + swing[:, :, i, 1]
        length = 0.36 if i < 2 else 0.40
        joint = start + length * turned(upper)
        distance = torch.minimum(distance, _capsule(at, start, joint) - limb)
        distance = torch.minimum(distance, _capsule(at, joint, joint + length * turned(lower)) - limb)
    return distance


def _capsule(at: Tensor, start: Tensor, end: Tensor) -> Tensor:
    a, edge = start[:, :, None, None], (end - start)[:, :, None, None]
    to = at - a
    share = ((to * edge).sum(-1) / edge.square().sum(-1).clamp(min=1e-9)).clamp(0, 1)
    return (to - share[..., None] * edge).norm(dim=-1)
