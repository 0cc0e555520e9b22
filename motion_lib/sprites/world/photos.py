"""Photographs for training clips, read from an installed scikit-image; nothing needs them at run time.

Only pictures that their authors gave to the public domain are used; NOTICE in the repository's root names them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ...errors import MotionError

TRAINING_PHOTOS = (
    *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png"),
    *("clock_motion.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "retina.jpg"),
)
UNSEEN_PHOTOS = ("coffee.png", "rocket.jpg")


def load_photos(names: tuple[str, ...] = TRAINING_PHOTOS, size: int = 256) -> Tensor:
    """The photographs, middle squares of `size`² pixels: `[n, 3, size, size]` in [0, 1].

    Raises MotionError where scikit-image is not installed or lacks one of them.
    """
    folder = _folder()
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise MotionError(f"{folder} lacks {', '.join(missing)}: install a current scikit-image.")
    return torch.cat([_square(folder / name, size) for name in names])


def _folder() -> Path:
    from importlib.util import find_spec

    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise MotionError("Clips with photographs are drawn from scikit-image's pictures: pip install scikit-image.")
    return Path(spec.origin).parent / "data"


def _square(path: Path, size: int) -> Tensor:
    with Image.open(path) as image:
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None] / 255
    side = min(pixels.shape[-2:])
    top, left = ((n - side) // 2 for n in pixels.shape[-2:])
    middle = pixels[..., top : top + side, left : left + side]
    return F.interpolate(middle, (size, size), mode="bilinear", antialias=True, align_corners=False)
