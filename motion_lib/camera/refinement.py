"""A camera's steps, found from tracks, made more exact on the pictures themselves.

Windows of a tracker follow soft textures, such as clouds, less far than they move: a zoom comes out a tenth too small.
Comparing whole pictures does not have that error, but must begin near the answer, and leave out what moves apart.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..video.frames import opencv, resized
from .motion import CameraMotion

SIDES = 96, 256  # shorter side to which larger pictures are reduced, one after the other
STRAY = 3.0  # times the median difference of grey: what differs more does not move with the camera
LEAST_STRAY = 4.0  # of 255
BESIDE = 7  # pixels around it that are left out too
MARGIN = 4  # pixels at the edge, where a moved picture has no neighbours
GAIN = 0.98  # of the squared difference: a step that lowers it less stays as it was
# ENOUGH, FARTHEST: half frames, e-folds and radians. A round that changes the step by less is the last one, and one
# that changes it by more has lost its way.
ROUNDS, ENOUGH, FARTHEST = 10, 1e-4, 0.2
AXES = (1, 0), (0, 1)  # along which Sobel takes slopes


def refined(frames: Tensor, motion: CameraMotion) -> CameraMotion:
    """The motion of a clip uint8 `[f, h, w, 3]` with every fitted step replaced by the similarity that brings the next
    frame to this one, where that lowers their difference. Needs OpenCV."""
    cv2 = opencv()
    grey = [cv2.cvtColor(frame.numpy(), cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in frames]
    sides = sorted({min(side, *grey[0].shape) for side in SIDES})
    levels = [[cv2.GaussianBlur(picture, (3, 3), 0) for picture in resized(grey, side)] for side in sides]
    steps = torch.cat([motion.shift, motion.log_zoom[:, None], motion.roll[:, None]], dim=1).tolist()
    found = [
        step if math.isnan(step[2]) else _refined([level[i : i + 2] for level in levels], np.array(step), grey[0].shape)
        for i, step in enumerate(steps)
    ]
    values = torch.tensor(np.array(found), dtype=torch.float32).reshape(-1, 4)
    return CameraMotion(values[:, :2], values[:, 2], values[:, 3])


def _refined(levels: list[list[np.ndarray]], step: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Found on a frame and the next so small that a step is short there, and from that on larger ones. shape: of the
    frame itself."""
    found = step
    for first, second in levels:
        # Pixels of half a frame along x and y, which a side that was rounded makes a little unequal.
        half = min(shape) / 2 * np.array([first.shape[1] / shape[1], first.shape[0] / shape[0]])
        together = _together(first, _moved(second, found, half))
        if not together.any():
            return step
        found = _least_squares(first, second, found, half, together)
        if not np.abs(found - step).max() < FARTHEST:  # NaN ends here too
            return step
    moved = [_moved(second, s, half) for s in (step, found)]
    # Where either of them agrees: each by itself would leave out what speaks against it.
    judged = _together(first, moved[0]) | _together(first, moved[1])
    costs = [float(np.square(picture - first)[judged].mean()) for picture in moved]
    return found if costs[1] <= GAIN * costs[0] else step


def _together(first: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """bool `[h, w]`: where the next frame, moved, shows what this one does."""
    cv2 = opencv()
    difference = cv2.GaussianBlur(np.abs(moved - first), (5, 5), 0)
    alike = (difference <= max(LEAST_STRAY, STRAY * float(np.median(difference)))).astype(np.uint8)
    alike = cv2.erode(alike, np.ones((BESIDE, BESIDE), np.uint8)).astype(bool)
    alike[:MARGIN] = alike[-MARGIN:] = alike[:, :MARGIN] = alike[:, -MARGIN:] = False
    return alike


def _least_squares(
    first: np.ndarray, second: np.ndarray, step: np.ndarray, half: np.ndarray, together: np.ndarray
) -> np.ndarray:
    """Shift x and y, log zoom and roll, with brightness and contrast left free, by Gauss and Newton (Lucas and Kanade
    1981; Baker and Matthews 2004) over the places `together`."""
    cv2 = opencv()
    rows, columns = together.nonzero()
    points = (np.stack([columns, rows]) - _centre(first.shape)[:, None]) / half[:, None]
    slopes = [cv2.Sobel(second, cv2.CV_32F, *axis, scale=1 / 8) * side for axis, side in zip(AXES, half, strict=True)]
    wanted, pictures = first[together].astype(np.float64), (second, *slopes)
    for _ in range(ROUNDS):
        seen, right, down = (_moved(picture, step, half)[together].astype(np.float64) for picture in pictures)
        x, y = _linear(step) @ points
        parts = np.stack([right, down, right * x + down * y, down * x - right * y, seen, np.ones_like(seen)])
        change = np.linalg.lstsq(parts @ parts.T, parts @ (wanted - seen), rcond=None)[0][:4]
        step = step + change
        if not ENOUGH <= np.abs(change).max() < FARTHEST:
            break
    return step


def _moved(picture: np.ndarray, step: np.ndarray, half: np.ndarray) -> np.ndarray:
    """What the next frame shows where this one has its pixels; half: pixels of half a frame along x and y."""
    cv2, centre = opencv(), _centre(picture.shape)
    linear = _linear(step) * half[:, None] / half
    shift = step[:2] * half + centre - linear @ centre
    # Linear, because OpenCV's cubic (a = -0.75) reads a slope up to .05 pixels beside the place it is asked for.
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    # Black beyond its edges, which then differs and is left out.
    matrix = np.concatenate([linear, shift[:, None]], axis=1)
    return cv2.warpAffine(picture, matrix, picture.shape[::-1], flags=flags)


def _linear(step: np.ndarray) -> np.ndarray:
    """zoom · R(roll), `[2, 2]`."""
    c, s = (math.exp(step[2]) * part for part in (math.cos(step[3]), math.sin(step[3])))
    return np.array([[c, -s], [s, c]])


def _centre(shape: tuple[int, ...]) -> np.ndarray:
    return np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
