"""Where points of a clip go, and what finds that out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class Tracks:
    """points: float32 `[n, f, 2]`, x and y in pixels. visible: bool `[n, f]`; points are meaningless where it is
    false. size: (height, width) of the frames."""

    points: Tensor
    visible: Tensor
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: Any) -> Tracks:
        return Tracks(self.points[index], self.visible[index], self.size)


class Tracker(Protocol):
    """Frames uint8 `[f, h, w, 3]` to tracks of the same length."""

    def __call__(self, frames: Tensor) -> Tracks: ...
