"""Masks from pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import MotionError


def read_mask(path: str | Path) -> Tensor:
    """How bright each pixel of a picture is, `[h, w]` in 0..1. Raises MotionError for a file that is no picture."""
    try:
        pixels = np.array(Image.open(path).convert("L"))
    except (OSError, Image.DecompressionBombError) as error:  # also what PIL does not know
        raise MotionError(f"The mask {path} cannot be read as a picture ({error}).") from error
    return torch.from_numpy(pixels).float() / 255
