"""Clips to try things on, rendered by `motion_lib.sprites` and so of known motion: 128×128, 16 frames and
8 a second, or as many as the name says and 16."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Sample:
    """A clip, what a caption says of it, and the name of its motion in `sprites.motions`."""

    path: Path
    prompt: str
    motion: str


SAMPLES = {
    "figure_eight": Sample(HERE / "figure_eight.mp4", "a red circle on a grey plain background", "figure_eight"),
    "figure_eight_33": Sample(HERE / "figure_eight_33.mp4", "a red circle on a grey plain background", "figure_eight"),
    "camera_pan": Sample(HERE / "camera_pan.mp4", "a yellow ring on a navy checkered background", "pan"),
}
