"""Cutting out a thing that rests, or never leaves its place, so that the median frame shows it.

Where it has never been is background, and so is what looks like that; how each looks is learned from the clip itself
(GrabCut: Rother, Kolmogorov and Blake 2004, doi 10.1145/1186562.1015720).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .frames import opencv

SIDE = 128  # pixels of the longer side, at which it is done
ROUNDS = 4
MARGIN = 0.02  # of the shorter side: so far around what changes there may be some of the thing


def cut_out(frames: Tensor, changing: Tensor) -> Tensor:
    """Where the thing is that moves in a clip uint8 `[f, h, w, 3]`, `[f, h, w]` in 0..1. changing: where each frame is
    not as the median, of that shape. Raises MotionError where OpenCV is missing."""
    cv2 = opencv()
    height, width = frames.shape[1:3]
    scale = min(1.0, SIDE / max(height, width))
    small = max(2, round(height * scale)), max(2, round(width * scale))
    pictures = F.interpolate(frames.movedim(-1, 1).float(), size=small, mode="area").round().byte()
    ever = F.interpolate(changing.amax(dim=0)[None, None], size=small, mode="area")
    reach = max(1, round(MARGIN * min(small)))
    near = F.max_pool2d(ever, 2 * reach + 1, stride=1, padding=reach)[0, 0] > 0.5
    inside = np.tile(_without_holes(near.numpy()), (len(frames), 1))
    # All frames in one picture, so that all learn the same two looks.
    picture = np.ascontiguousarray(pictures.movedim(1, -1).reshape(-1, small[1], 3).numpy())
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    if not inside.any() or inside.all():
        return changing
    cv2.setRNGSeed(0)
    cv2.grabCut(picture, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), ROUNDS, cv2.GC_INIT_WITH_MASK)
    found = torch.from_numpy(labels == cv2.GC_PR_FGD).view(len(frames), 1, *small).float()
    return F.interpolate(found, size=(height, width), mode="bilinear", align_corners=False)[:, 0]


def _without_holes(near: np.ndarray) -> np.ndarray:
    """With what it encloses, too: what cannot be reached from the picture's border."""
    around = np.pad(near.astype(np.uint8), 1)
    opencv().floodFill(around, None, (0, 0), 2)
    return around[1:-1, 1:-1] != 2
