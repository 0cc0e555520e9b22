"""How the object of a sprite clip grows and turns, read by the checker of `sprites`."""

from __future__ import annotations

import math
from collections import Counter

import torch
from torch import Tensor

from .. import sprites
from ..video.frames import check_clip_tensor, parts


def object_size(frames: Tensor) -> Tensor:
    """ln of the object's size (the square root of its area) over a clip uint8 `[f, h, w, 3]`: `[f]`, held from the
    nearest frame where the object is unseen, NaN if it is never seen. Raises MotionError for anything but a clip."""
    check_clip_tensor(frames)
    area = torch.cat([sprites.object_area(part) for part in parts(frames)])
    return _nearest_seen(0.5 * area.log())


def object_turn(frames: Tensor) -> Tensor:
    """How far the object has turned since the first frame of a clip uint8 `[f, h, w, 3]`: `[f]` radians clockwise on
    the screen. A step is known up to the symmetry of the shape, and the shortest is taken: a star may turn 36° a frame,
    a square 45°. NaN if most frames show a round shape or none. Raises MotionError for anything but a clip."""
    check_clip_tensor(frames)
    verdicts = [verdict for part in parts(frames) for verdict in sprites.check_frames(part)]
    shape, count = Counter(verdict.words.shape for verdict in verdicts).most_common(1)[0]
    if shape not in sprites.SYMMETRY or count <= len(frames) / 2:
        return torch.full((len(frames),), math.nan)
    period = math.tau / sprites.SYMMETRY[shape]
    angle = _nearest_seen(torch.cat([sprites.object_angle(part, shape) for part in parts(frames)]))
    steps = (angle.diff() + period / 2) % period - period / 2
    return torch.cat([torch.zeros(1), steps.cumsum(0)])


def _nearest_seen(values: Tensor) -> Tensor:
    seen = (~values.isnan()).nonzero()[:, 0]
    if not len(seen):
        return values
    return values[seen[(torch.arange(len(values))[:, None] - seen).abs().argmin(dim=1)]]
