"""Reading a sprite clip back: what is in each frame, and where.

The checker knows the vocabulary but not the caption, and uses nothing learned: objects are vivid and backgrounds muted,
so chroma separates them; shapes are compared with their own silhouettes, textures told apart by simple statistics.
Its own error is measured on rendered clips, where every answer is known (tests/sprites/test_checker.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .render import DISTANCES
from .vocabulary import COLOURS, SHAPES, TONES, Words

CHROMA_OF_OBJECTS = 0.36
SMALLEST_OBJECT = 0.004  # of the frame's area
WINDOW = 40  # side of the window in which silhouettes are compared
TURNS = 60


@dataclass(frozen=True)
class FrameVerdict:
    """What one frame shows. `position` is the object's centre in half image sides (x right, y down), `area` its share
    of the frame, `background` the mean colour behind it; words are `None` where nothing known can be seen."""

    words: Words
    position: tuple[float, float]
    area: float
    background: tuple[float, float, float]


def check_frames(frames: Tensor) -> list[FrameVerdict]:
    """Verdicts for frames `[n, 3, h, w]` in [0, 1]."""
    frames = frames.float()
    cover = _cover(frames)
    area = cover.mean(dim=(1, 2))
    seen = area > SMALLEST_OBJECT
    position = _centre(cover)
    shapes = _shapes(cover, position, area)
    colours = _colours(frames, cover)
    tones, textures, means = _backgrounds(frames)
    return [
        FrameVerdict(
            words=Words(
                shape=SHAPES[shapes[i]] if seen[i] else None,
                colour=list(COLOURS)[colours[i]] if seen[i] else None,
                tone=list(TONES)[tones[i]],
                texture=textures[i],
            ),
            position=(float(position[i, 0]), float(position[i, 1])),
            area=float(area[i]),
            background=tuple(means[i].tolist()),
        )
        for i in range(len(frames))
    ]


def object_path(frames: Tensor) -> Tensor:
    """The object's centre in every frame `[n, 3, h, w]`: `[n, 2]` in half image sides, NaN where there is no object."""
    cover = _cover(frames.float())
    path = _centre(cover)
    path[cover.mean(dim=(1, 2)) <= SMALLEST_OBJECT] = math.nan
    return path


def object_area(frames: Tensor) -> Tensor:
    """How much of every frame `[n, 3, h, w]` the object covers: `[n]`, NaN where there is no object."""
    area = _cover(frames.float()).mean(dim=(1, 2))
    return torch.where(area > SMALLEST_OBJECT, area, math.nan)


# Turns after which a shape looks the same again; round shapes cannot be seen to turn.
SYMMETRY = {"square": 4, "triangle": 3, "star": 5, "heart": 1, "cross": 4, "moon": 1}


def object_angle(frames: Tensor, shape: str) -> Tensor:
    """How far a `shape` of SYMMETRY is turned in every frame `[n, 3, h, w]`: `[n]` radians clockwise on the screen, in
    [0, 2π / symmetry); NaN where there is no object."""
    cover = _cover(frames.float())
    area = cover.mean(dim=(1, 2))
    windows = _windows(cover, _centre(cover), area.clamp(min=1e-4), torch.zeros_like(area)).flatten(1)[:, None]
    silhouettes = _silhouettes()[SHAPES.index(shape)].to(frames.device)
    overlap = torch.minimum(windows, silhouettes).sum(-1) / torch.maximum(windows, silhouettes).sum(-1)
    best = overlap.argmax(dim=1)
    before, at, after = (overlap.gather(1, ((best + i) % TURNS)[:, None])[:, 0] for i in (-1, 0, 1))
    # The summit of two straight flanks, which is what an overlap of silhouettes has.
    between = 0.5 * (after - before) / (at - torch.minimum(before, after)).clamp(min=1e-6)
    angle = -(best + between) * (math.tau / TURNS) % (math.tau / SYMMETRY[shape])
    return torch.where(area > SMALLEST_OBJECT, angle, math.nan)


def _chroma(frames: Tensor) -> Tensor:
    return frames.amax(dim=1) - frames.amin(dim=1)


def _cover(frames: Tensor) -> Tensor:
    """How much of each pixel the object covers, `[n, h, w]`, with soft edges: chroma between the muted background's and
    the object's own."""
    chroma = _chroma(frames)
    vivid = chroma > CHROMA_OF_OBJECTS
    own = (chroma * vivid).sum(dim=(1, 2), keepdim=True) / vivid.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    behind = (chroma * ~vivid).sum(dim=(1, 2), keepdim=True) / (~vivid).sum(dim=(1, 2), keepdim=True).clamp(min=1)
    soft = ((chroma - behind) / (own - behind).clamp(min=0.1)).clamp(0, 1)
    near = F.max_pool2d(vivid[:, None].float(), 5, stride=1, padding=2)[:, 0]
    return torch.where(soft > 0.3, soft, torch.zeros_like(soft)) * near


def _axis(size: int, like: Tensor) -> Tensor:
    return (torch.arange(size, device=like.device) + 0.5) * (2 / size) - 1


def _centre(cover: Tensor) -> Tensor:
    total = cover.sum(dim=(1, 2)).clamp(min=1e-6)
    x = (cover.sum(dim=1) * _axis(cover.shape[2], cover)).sum(dim=1) / total
    y = (cover.sum(dim=2) * _axis(cover.shape[1], cover)).sum(dim=1) / total
    return torch.stack([x, y], dim=1)


@lru_cache(maxsize=1)
def _silhouettes() -> Tensor:
    """Every shape at every turn, `[shapes, turns, WINDOW²]`, centred on its centroid and scaled to one common area."""
    axis = _axis(400, torch.empty(0)) * 1.4
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
    masks = torch.stack([(DISTANCES[name](grid) < 0).float() for name in SHAPES])
    centre = _centre(masks)
    area = masks.mean(dim=(1, 2))
    turns = torch.arange(TURNS) * (math.tau / TURNS)
    return torch.stack([_windows(masks, centre, area, turn.expand(len(SHAPES))).flatten(1) for turn in turns], dim=1)


def _windows(masks: Tensor, centre: Tensor, area: Tensor, turn: Tensor) -> Tensor:
    """Cut a turned window of 2.2 equivalent radii half-width around each centroid, `[n, WINDOW, WINDOW]`."""
    reach = 2.2 * (4 * area / math.pi).sqrt()
    c, s = turn.cos() * reach, turn.sin() * reach
    theta = torch.stack([torch.stack([c, -s, centre[:, 0]], 1), torch.stack([s, c, centre[:, 1]], 1)], dim=1)
    grid = F.affine_grid(theta, [len(masks), 1, WINDOW, WINDOW], align_corners=False)
    return F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]


def _shapes(cover: Tensor, centre: Tensor, area: Tensor) -> list[int]:
    """Index of the shape whose turned silhouette has the greatest soft intersection over union with each cover."""
    windows = _windows(cover, centre, area.clamp(min=1e-4), torch.zeros_like(area)).flatten(1)
    silhouettes = _silhouettes().to(cover.device).flatten(0, 1)
    best = []
    for window in windows:
        overlap = torch.minimum(window, silhouettes).sum(1) / torch.maximum(window, silhouettes).sum(1)
        best.append(int(overlap.argmax()) // TURNS)
    return best


def _colours(frames: Tensor, cover: Tensor) -> list[int]:
    core = (cover > 0.9).float() + 1e-6
    mean = (frames * core[:, None]).sum(dim=(2, 3)) / core.sum(dim=(1, 2))[:, None]
    palette = torch.tensor(list(COLOURS.values()), device=frames.device)
    return torch.cdist(mean, palette).argmin(dim=1).tolist()


def _backgrounds(frames: Tensor) -> tuple[list[int], list[str | None], Tensor]:
    tones, textures, means = [], [], []
    palette = torch.tensor(list(TONES.values()), device=frames.device)
    looks = torch.cat([palette[:, 0], palette.mean(dim=1)])
    vivid = (_chroma(frames) > CHROMA_OF_OBJECTS).float()[:, None]
    behind = F.max_pool2d(vivid, 9, stride=1, padding=4)[:, 0] == 0
    for frame, mask in zip(frames, behind, strict=True):
        if mask.sum() < 9:  # vivid everywhere: no background of its own
            mask = torch.ones_like(mask)
        mean = frame[:, mask].mean(dim=1)
        tone = int((looks - mean).norm(dim=1).argmin()) % len(palette)
        first, second = palette[tone]
        step = second - first
        mix = torch.einsum("chw,c->hw", frame - first[:, None, None], step) / step.square().sum()
        tones.append(tone)
        textures.append(_texture(mix, mask))
        means.append(mean)
    return tones, textures, torch.stack(means)


def _texture(mix: Tensor, mask: Tensor) -> str | None:
    """Name the texture of a `[h, w]` mix of the two tones (0 first, 1 second), looking only where `mask` is true; None
    for a pattern that is none of them."""
    smooth = F.avg_pool2d(mix[None, None], 3, stride=1, padding=1)[0, 0]
    values = smooth[mask]
    if values.std() < 0.1:
        return "plain"
    low, high = values.quantile(0.03), values.quantile(0.97)
    level = ((values - low) / (high - low)).clamp(0, 1)
    if ((level > 0.25) & (level < 0.75)).float().mean() > 0.36:
        return "cloudy"
    dx, dy = smooth[1:-1, 2:] - smooth[1:-1, :-2], smooth[2:, 1:-1] - smooth[:-2, 1:-1]
    weight = (dx**2 + dy**2) * mask[1:-1, 1:-1]
    angle = torch.atan2(dy, dx)
    if _folds(angle, weight, 2) > 0.6:
        return "striped"
    if _folds(angle, weight, 4) > 0.65:
        return "checkered"
    # Round edges are of dots, light or dark, or of blots when they cover half of the ground.
    return "dotted" if (level.mean() - 0.5).abs() > 0.1 else None


def _folds(angle: Tensor, weight: Tensor, n: int) -> Tensor:
    """How far gradients of these angles keep to n directions that share the circle evenly: 1 if all do, 0 if round."""
    return torch.hypot((weight * (n * angle).cos()).sum(), (weight * (n * angle).sin()).sum()) / weight.sum()
