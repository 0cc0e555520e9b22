"""Does a sprite clip show what its caption says, and where is the object? Read by the checker of `sprites`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import sprites
from ..video.frames import check_clip_tensor, parts

KINDS = ("shape", "colour", "tone", "texture")


@dataclass(frozen=True)
class CaptionAccuracy:
    """For each of KINDS that the prompt names: is it right in the middle frame, and in which share of the frames."""

    middle_frame: dict[str, bool]
    over_frames: dict[str, float]

    @property
    def score(self) -> float:
        """Share of what the prompt names that the middle frame shows, NaN when it names nothing known."""
        return sum(self.middle_frame.values()) / len(self.middle_frame) if self.middle_frame else math.nan


@dataclass(frozen=True)
class ObjectPath:
    """points: the object's centre `[f, 2]` in half image sides, x right and y down. missing: how many frames show no
    object; there the path is interpolated linearly, and held before the first and after the last sight. Without any
    object all points are NaN."""

    points: Tensor
    missing: int


def caption_accuracy(frames: Tensor, prompt: str) -> CaptionAccuracy:
    """Compare a clip uint8 `[f, h, w, 3]` with the sprite words in its prompt; kinds the prompt leaves open are left
    out. The checker's own error on rendered clips bounds what can be seen (tests/sprites/test_checker.py).

    Raises MotionError for anything but a clip.
    """
    check_clip_tensor(frames)
    asked = sprites.parse_caption(prompt)
    seen = [verdict.words for part in parts(frames) for verdict in sprites.check_frames(part)]
    kinds = [kind for kind in KINDS if getattr(asked, kind) is not None]
    right = {kind: [getattr(words, kind) == getattr(asked, kind) for words in seen] for kind in kinds}
    return CaptionAccuracy(
        middle_frame={kind: hits[len(hits) // 2] for kind, hits in right.items()},
        over_frames={kind: sum(hits) / len(hits) for kind, hits in right.items()},
    )


def object_path(frames: Tensor) -> ObjectPath:
    """Where the object of a sprite clip uint8 `[f, h, w, 3]` goes. Raises MotionError for anything but a clip."""
    check_clip_tensor(frames)
    points = torch.cat([sprites.object_path(part) for part in parts(frames)])
    unseen = points.isnan().any(dim=1)
    missing = int(unseen.sum())
    if 0 < missing < len(points):
        times = torch.arange(len(points))
        known = times[~unseen]
        after = torch.searchsorted(known, times).clamp(max=len(known) - 1)
        before = (torch.searchsorted(known, times, right=True) - 1).clamp(min=0)
        gap = (known[after] - known[before]).clamp(min=1)
        share = ((times - known[before]) / gap).clamp(0, 1)[:, None]
        points = points[known[before]] * (1 - share) + points[known[after]] * share
    return ObjectPath(points, missing)
