"""Temporal consistency: does a point keep its colour while it moves?

The warp error of Lai et al., "Learning Blind Video Temporal Consistency", arXiv 1808.00449, sec. 4: every frame is
compared with the next one warped back along optical flow, where both can be seen. The flow is DIS (Kroeger et al.,
arXiv 1603.03590) of the clip itself, so a clip whose content jumps is judged by what the flow cannot explain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..video.frames import check_clip_tensor, opencv


@dataclass(frozen=True)
class WarpError:
    """error: mean squared distance of colours (sum over RGB in [0, 1]) of pixels seen in both frames of a pair, then
    mean over pairs: 0 is perfect, NaN when no pixel could be followed. visible: share of the pixels compared; a low
    share means that the flow failed, and that the error says little."""

    error: float
    visible: float


def warp_error(frames: Tensor) -> WarpError:
    """The warp error of a clip uint8 `[f, h, w, 3]`. A still clip has no error, so never read this without a measure of
    motion.

    Raises MotionError without OpenCV, or for anything but a clip of at least two frames of at least 16 pixels a side.
    """
    check_clip_tensor(frames, least=2, side=16)
    cv2 = opencv()
    images = frames.cpu().numpy()
    greys = [cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY) for image in images]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = greys[0].shape
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    errors, shares = [], []
    for i in range(len(images) - 1):
        forward, backward = flow.calc(greys[i], greys[i + 1], None), flow.calc(greys[i + 1], greys[i], None)
        target = grid + forward
        inside = ((target >= 0) & (target <= (width - 1, height - 1))).all(axis=-1)
        returned = forward + cv2.remap(backward, target, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        # The occlusion test of Sundaram et al. (2010), as in the paper.
        size = (forward**2).sum(axis=-1) + ((returned - forward) ** 2).sum(axis=-1)
        seen = inside & ((returned**2).sum(axis=-1) <= 0.01 * size + 0.5)
        after = images[i + 1].astype(np.float32) / 255
        warped = cv2.remap(after, target, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        difference = ((warped - images[i].astype(np.float32) / 255) ** 2).sum(axis=-1)
        shares.append(float(seen.mean()))
        if seen.any():
            errors.append(float(difference[seen].mean()))
    return WarpError(float(np.mean(errors)) if errors else math.nan, float(np.mean(shares)))
