"""What surfaces look like: a colour for every point, for backgrounds and for objects alike.

Points are in the surface's own coordinates: half image sides of the world for a background, radii for an object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..render import PATTERNS, _soft_step
from .batch import Batch, groups

WAVES = 20


@dataclass
class Paint(Batch):
    """kind: `[b]` index into PAINTS + FOREIGN_PAINTS. colours `[b, 3, 3]`: patterns mix the first two, gradients run
    through all three. period, direction `[b]`, phase `[b, 2]`, waves `[b, 20, 4]` (two wave numbers, shift, weight):
    what the pattern looks like. photo `[b]`: which photograph. spread `[b]`: half image sides that half a gradient's
    run or half a photograph takes. tint `[b, 3, 3]`: the colour matrix a photograph is seen through.
    """

    kind: Tensor
    colours: Tensor
    period: Tensor
    direction: Tensor
    phase: Tensor
    waves: Tensor
    photo: Tensor
    spread: Tensor
    tint: Tensor


def paint(paints: Paint, points: Tensor, pixel: Tensor, photos: Tensor | None = None) -> Tensor:
    """Colours `[b, f, 3, h, w]` at `points` `[b, f, h, w, 2]`, anti-aliased for pixels of size `pixel` `[b, f, 1, 1]`.

    `photos` `[n, 3, s, s]` in [0, 1] must be given where a paint is a photograph.
    """
    colour = paints.colours[:, None, 0, :, None, None].expand(-1, points.shape[1], -1, *points.shape[2:4]).clone()
    for i, clips in groups(paints.kind):
        name = ALL_PAINTS[i]
        if name == "plain":
            continue
        mine = clips.to(points.device, non_blocking=True)
        own, at = paints[clips], points[mine]
        if name == "photo":
            assert photos is not None, "paints of photographs need the photographs"
            colour[mine] = _photo(own, at, photos[own.photo.to(photos.device)])
        elif name in ("gradient", "radial"):
            colour[mine] = _run(own, at, radial=name == "radial")
        else:
            first, second = (own.colours[:, None, j, :, None, None] for j in (0, 1))
            mix = MIXES[name](at, pixel[mine], own)
            colour[mine] = first + mix[:, :, None] * (second - first)
    return colour


def _known(name: str) -> Callable[[Tensor, Tensor, Paint], Tensor]:
    return lambda at, pixel, own: PATTERNS[name](at, pixel, own.period, own.direction, own.phase, own.waves[:, :6, :3])


def _fractal(at: Tensor, pixel: Tensor, own: Paint) -> Tensor:
    """Waves of falling weight, bent by the longest two."""
    first, second = (_wave(at, own.waves[:, i]) for i in (0, 1))
    bent = at + 0.12 * torch.stack([first, second], dim=-1)
    total = sum(_wave(bent, own.waves[:, i]) for i in range(2, WAVES))
    norm = own.waves[:, 2:, 3].square().sum(1).div(2).sqrt()[:, None, None, None]
    return (0.5 + 0.28 * total / norm).clamp(0, 1)


def _wave(at: Tensor, wave: Tensor) -> Tensor:
    kx, ky, shift, weight = (wave[:, i, None, None, None] for i in range(4))
    return weight * torch.cos(at[..., 0] * kx + at[..., 1] * ky + shift)


def _along(at: Tensor, own: Paint) -> Tensor:
    c, s = own.direction.cos()[:, None, None, None], own.direction.sin()[:, None, None, None]
    return at[..., 0] * c + at[..., 1] * s


def _run(own: Paint, at: Tensor, radial: bool) -> Tensor:
    spread = own.spread[:, None, None, None]
    if radial:
        place = 2 * (at - 0.6 * (own.phase[:, None, None, None] - 0.5)).norm(dim=-1) / spread - 1
    else:
        place = _along(at, own) / spread
    # Beyond its ends a gradient runs back, so that a camera never comes to an edge.
    place = 1 - ((place + 1).remainder(4) - 2).abs()
    first, middle, last = (own.colours[:, None, j, :, None, None] for j in range(3))
    place = place[:, :, None]
    return middle + place.clamp(min=0) * (last - middle) + (-place).clamp(min=0) * (first - middle)


def _photo(own: Paint, at: Tensor, photos: Tensor) -> Tensor:
    """A turned piece of a photograph, mirrored beyond its edges."""
    c, s = own.direction.cos()[:, None, None, None], own.direction.sin()[:, None, None, None]
    x, y = at.unbind(-1)
    turned = torch.stack([c * x + s * y, c * y - s * x], dim=-1) / own.spread[:, None, None, None, None]
    place = (turned + 2 * own.phase[:, None, None, None] - 1).flatten(1, 2)
    seen = F.grid_sample(photos.to(at.dtype), place, padding_mode="reflection", align_corners=False)
    tinted = torch.einsum("bij,bjp->bip", own.tint, seen.flatten(2) - 0.5) + 0.5
    return tinted.clamp(0, 1).unflatten(2, at.shape[1:4]).transpose(1, 2)


# Patterns kept out of training, for clips in looks that no model was trained on.


def _rings(at: Tensor, pixel: Tensor, own: Paint) -> Tensor:
    period = own.period[:, None, None, None]
    u = (at - (own.phase[:, None, None, None] - 0.5)).norm(dim=-1) / period
    return _soft_step(((u % 1) - 0.5).abs() - 0.25, 2 * pixel / period)


def _chevrons(at: Tensor, pixel: Tensor, own: Paint) -> Tensor:
    period = own.period[:, None, None, None]
    fold = ((at[..., 0] / period + own.phase[:, 0, None, None, None]) % 1 - 0.5).abs()
    u = at[..., 1] / period + own.phase[:, 1, None, None, None] + 1.4 * fold
    return _soft_step(((u % 1) - 0.5).abs() - 0.25, 3 * pixel / period)


def _bricks(at: Tensor, pixel: Tensor, own: Paint) -> Tensor:
    period = own.period[:, None, None, None]
    v = at[..., 1] / (0.5 * period) + own.phase[:, 1, None, None, None]
    u = at[..., 0] / period + own.phase[:, 0, None, None, None] + 0.5 * (v.floor() % 2)
    edge = torch.minimum(0.5 - (u % 1 - 0.5).abs(), 0.5 * (0.5 - (v % 1 - 0.5).abs()))
    return _soft_step(0.05 - edge, 2 * pixel / period)


MIXES: dict[str, Callable[[Tensor, Tensor, Paint], Tensor]] = {
    **{name: _known(name) for name in PATTERNS},
    "fractal": _fractal,
    "rings": _rings,
    "chevrons": _chevrons,
    "bricks": _bricks,
}
PAINTS = ("plain", "striped", "checkered", "dotted", "cloudy", "gradient", "fractal", "photo")
FOREIGN_PAINTS = ("radial", "rings", "chevrons", "bricks")
ALL_PAINTS = PAINTS + FOREIGN_PAINTS


def turned(angle: Tensor) -> Tensor:
    """Unit vectors `[..., 2]`."""
    return torch.stack([angle.cos(), angle.sin()], dim=-1)
