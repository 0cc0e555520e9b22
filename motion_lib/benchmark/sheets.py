"""What a benchmark made, to look at: one picture per reference, a line per method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..files.atomic import replacing
from ..video.sheet import contact_sheet

FRAMES = 6  # of every video
PROMPTS = 3
SCALE = 0.5


def save_strip(path: Path, videos: Sequence[Tensor]) -> None:
    """Write frames of the first videos, uint8 `[f, h, w, 3]`, side by side."""
    frames = torch.cat([_evenly(video) for video in videos[:PROMPTS]])
    with replacing(path) as temporary:
        Image.fromarray(frames.transpose(0, 1).flatten(1, 2).numpy()).save(temporary)


def sheet(reference: Tensor, strips: dict[str, Path]) -> Image.Image:
    """The reference above the strips of all methods, each under its label."""
    rows = [_evenly(reference)]
    for path in strips.values():
        rows.append(read_strip(path, reference.shape[2]))
    return contact_sheet(rows, ["reference", *strips], FRAMES * PROMPTS, SCALE)


def read_strip(path: Path, width: int) -> Tensor:
    """The frames of a strip, each so many pixels wide: uint8 `[n, h, w, 3]`."""
    return torch.from_numpy(np.array(Image.open(path))).unflatten(1, (-1, width)).transpose(0, 1)


def _evenly(video: Tensor) -> Tensor:
    return video[torch.linspace(0, len(video) - 1, min(FRAMES, len(video))).round().long()]
