"""Camera motion: pan, zoom and roll from frame to frame, fitted to the tracks of the background."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..video.frames import check_clip_tensor, opencv
from .motion import CameraMotion
from .path import CameraPath
from .refinement import refined
from .trackers import track
from .tracks import Tracker, Tracks

TOLERANCE = 0.012  # half frames: about 0.8 pixels at 128
LEAST_POINTS = 6
BESIDE = 0.1  # of the shorter side: half of the window in which the default tracker compares
LEAST_SPREAD = 0.3  # of the frame's area, spanned by points that move as one: less is an object, not a background


def camera_motion(frames: Tensor, tracker: str | Tracker = "lucas_kanade") -> CameraMotion:
    """The camera of a clip uint8 `[f, h, w, 3]`.

    Raises MotionError without OpenCV, for anything but a clip, or an unknown tracker.
    """
    check_clip_tensor(frames, least=2)
    return camera_of_tracks(track(frames, tracker))


def follow_camera(frames: Tensor, tracker: str | Tracker = "lucas_kanade") -> CameraPath:
    """Where the camera of a clip uint8 `[f, h, w, 3]` looks: by tracks, and then more exactly by the pictures. Raises
    MotionError where it cannot be followed."""
    motion = refined(frames, camera_motion(frames, tracker))
    return CameraPath.of_steps(motion.shift, motion.log_zoom, motion.roll)


def camera_of_tracks(tracks: Tracks) -> CameraMotion:
    """The same from tracks; needs OpenCV."""
    height, width = tracks.size
    half = min(height, width) / 2
    centre = torch.tensor([(width - 1) / 2, (height - 1) / 2])
    points = ((tracks.points - centre) / half).numpy().astype(np.float64)
    area = height * width / half**2
    steps = []
    for i in range(points.shape[1] - 1):
        both = (tracks.visible[:, i] & tracks.visible[:, i + 1]).numpy()
        steps.append(_similarity(points[both, i], points[both, i + 1], LEAST_SPREAD * area))
    values = torch.tensor(steps, dtype=torch.float32).reshape(-1, 4)
    return CameraMotion(values[:, :2], values[:, 2], values[:, 3])


def beside(tracks: Tracks, objects: Tensor) -> Tracks:
    """The same tracks, hidden where they come so close to an object, bool masks `[f, h, w]`, that its edges drag them
    along: in a slow zoom an object at rest differs from its background by less than the tolerance."""
    reach = round(BESIDE * min(tracks.size))
    near = F.max_pool2d(objects[:, None].float(), 2 * reach + 1, stride=1, padding=reach)[:, 0] > 0
    x, y = tracks.points.round().long().unbind(-1)
    height, width = tracks.size
    hit = near[torch.arange(len(near)), y.clamp(0, height - 1), x.clamp(0, width - 1)]
    return replace(tracks, visible=tracks.visible & ~hit)


def _similarity(before: np.ndarray, after: np.ndarray, least_area: float) -> tuple[float, float, float, float]:
    """shift x and y, log zoom, roll of the largest group of points that moves as one and spans the picture."""
    cv2 = opencv()
    while len(before) >= LEAST_POINTS:
        matrix, inliers = cv2.estimateAffinePartial2D(
            before, after, method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE, maxIters=2000, confidence=0.999
        )
        if matrix is None:
            break
        mine = inliers[:, 0].astype(bool)
        if mine.sum() < LEAST_POINTS:
            break
        if cv2.contourArea(cv2.convexHull(before[mine].astype(np.float32))) >= least_area:
            zoom = math.hypot(matrix[0, 0], matrix[1, 0])
            return matrix[0, 2], matrix[1, 2], math.log(zoom), math.atan2(matrix[1, 0], matrix[0, 0])
        before, after = before[~mine], after[~mine]
    return math.nan, math.nan, math.nan, math.nan
