"""A camera's steps, found from tracks, made more exact on the pictures themselves.

Windows of a tracker follow soft textures, such as clouds, less far than they move: a zoom comes out a tenth too small.
Comparing whole pictures does not have that error, but must begin near the answer, and leave out what moves apart.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .frames import opencv

if TYPE_CHECKING:
    from .camera import CameraMotion

STRAY = 3.0  # times the median difference of grey: what differs more does not move with the camera
LEAST_STRAY = 4.0  # of 255
BESIDE = 7  # pixels around it that are left out too
MARGIN = 4  # pixels at the edge, where a moved picture has no neighbours
GAIN = 0.98  # of the squared difference: a step that lowers it less stays as it was
ROUNDS, ENOUGH = 50, 1e-5


def refined(frames: Tensor, motion: CameraMotion) -> CameraMotion:
    """The motion of a clip uint8 `[f, h, w, 3]` with every fitted step replaced by the similarity that brings the next
    frame to this one (maximisation of the enhanced correlation coefficient, Evangelidis and Psarakis 2008), where that
    lowers their difference."""
    cv2 = opencv()
    grey = [cv2.cvtColor(frame.numpy(), cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in frames]
    steps = torch.cat([motion.shift, motion.log_zoom[:, None], motion.roll[:, None]], dim=1).tolist()
    found = [step if math.isnan(step[2]) else _refined(grey[i], grey[i + 1], step) for i, step in enumerate(steps)]
    values = torch.tensor(found, dtype=torch.float32).reshape(-1, 4)
    return type(motion)(values[:, :2], values[:, 2], values[:, 3])


def _refined(first: np.ndarray, second: np.ndarray, step: list[float]) -> list[float]:
    cv2 = opencv()
    begin = _matrix(step, first.shape)
    difference = cv2.GaussianBlur(np.abs(_moved(second, begin) - first), (5, 5), 0)
    together = (difference <= max(LEAST_STRAY, STRAY * float(np.median(difference)))).astype(np.uint8)
    together = cv2.erode(together, np.ones((BESIDE, BESIDE), np.uint8))
    until = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ROUNDS, ENOUGH)
    try:
        _, affine = cv2.findTransformECC(first, second, begin.copy(), cv2.MOTION_AFFINE, until, together, 3)
    except cv2.error:  # nothing to compare, or it does not converge
        return step
    better = _step(affine, first.shape)
    inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    counted = together[inner].astype(bool)
    if not counted.any():
        return step
    costs = [
        float(np.square(_moved(second, matrix) - first)[inner][counted].mean())
        for matrix in (begin, _matrix(better, first.shape))
    ]
    return better if costs[1] <= GAIN * costs[0] else step


def _moved(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    cv2 = opencv()
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    # Black beyond its edges, which then differs and is left out.
    return cv2.warpAffine(picture, matrix, picture.shape[::-1], flags=flags)


def _matrix(step: list[float], shape: tuple[int, ...]) -> np.ndarray:
    """From pixels of one frame to those of the next, `[2, 3]`."""
    x, y, log_zoom, roll = step
    c, s = math.exp(log_zoom) * math.cos(roll), math.exp(log_zoom) * math.sin(roll)
    linear, centre = np.array([[c, -s], [s, c]]), _centre(shape)
    shift = np.array([x, y]) * min(shape) / 2 + centre - linear @ centre
    return np.concatenate([linear, shift[:, None]], axis=1).astype(np.float32)


def _step(affine: np.ndarray, shape: tuple[int, ...]) -> list[float]:
    """The similarity nearest to an affine matrix, as shift in half frames, ln zoom and roll."""
    linear, centre = affine[:, :2].astype(np.float64), _centre(shape)
    shift = (affine[:, 2] - centre + linear @ centre) / (min(shape) / 2)
    zoom = math.sqrt(max(1e-6, abs(np.linalg.det(linear))))
    roll = math.atan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1])
    return [float(shift[0]), float(shift[1]), math.log(zoom), roll]


def _centre(shape: tuple[int, ...]) -> np.ndarray:
    return np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
