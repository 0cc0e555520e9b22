"""Masks from pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .sources import open_picture


def read_mask(path: str | Path) -> Tensor:
    """How bright each pixel of a picture is, `[h, w]` in 0..1. Raises MotionError for a file that is not a picture."""
    return torch.from_numpy(np.array(open_picture(Path(path)).convert("L"))).float() / 255
