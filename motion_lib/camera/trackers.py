"""Point trackers: what turns a clip into tracks for motion fidelity and camera motion.

A tracker is any function from frames to Tracks, registered by name. The default needs no download: pyramidal
Lucas-Kanade (Bouguet 2001) on Shi-Tomasi corners, each step checked by tracking it back (Kalal et al., 2010).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import MotionError
from ..video.frames import check_clip_tensor, opencv, resized
from .tracks import Tracker, Tracks

WORKING_SIDE = 128  # shorter side to which frames are brought: windows are so wide that finer pixels add nothing
CELLS = 8  # a side, so that a vivid object does not take all points
POINTS_PER_CELL = 4
LEAST_STRENGTH = 1e-6  # smaller eigenvalue below which a corner is noise of compression
EDGE_RATIO = 0.05  # of the two eigenvalues over the window, below which it shows one direction only
WINDOW = 0.2  # of the shorter side: wide enough to see that the edge of a disc is curved
LEVELS = (1, 3)  # of the pyramid, beyond the first: steps of up to about a fifth and most of the shorter side
RETURN = 0.004  # of the shorter side: how far a point may be off when a step is tracked back
LEAST_VISIBLE = 0.5  # of the frames, or a track is dropped


def lucas_kanade(frames: Tensor) -> Tracks:
    """Corners of the first, middle and last frame, each followed to both ends of the clip or until it is lost.

    Raises MotionError without OpenCV, or for anything but a clip of at least two frames of at least 16 pixels a side.
    """
    check_clip_tensor(frames, least=2, side=16)
    cv2 = opencv()
    height, width = frames.shape[1:3]
    # All three colours are tracked, since equal grey may hide an edge.
    images = resized([np.ascontiguousarray(frame) for frame in frames.cpu().numpy()], WORKING_SIDE)
    size = images[0].shape[:2]
    side = min(size)
    images = [cv2.GaussianBlur(image, (0, 0), 1.0) for image in images]
    points, visible = [], []
    for start in sorted({0, len(frames) // 2, len(frames) - 1}):
        corners = _corners(cv2, images[start], side)
        if len(corners):
            followed = _follow(cv2, images, start, corners, side)
            points.append(followed[0])
            visible.append(followed[1])
    if not points:
        return Tracks(torch.empty(0, len(frames), 2), torch.empty(0, len(frames), dtype=torch.bool), (height, width))
    # cv2.resize maps pixel centres: x' + 1/2 = scale · (x + 1/2).
    scale = torch.tensor([size[1] / width, size[0] / height])
    tracks = (torch.from_numpy(np.concatenate(points)) + 0.5) / scale - 0.5
    seen = torch.from_numpy(np.concatenate(visible))
    keep = seen.float().mean(dim=1) >= LEAST_VISIBLE
    return Tracks(tracks[keep], seen[keep], (height, width))


def _corners(cv2: Any, image: np.ndarray, side: float) -> np.ndarray:
    """Shi-Tomasi corners `[n, 2]`, the strongest of every cell of the picture in any of the colours.

    Points whose whole window shows edges of one direction only are left out: along such edges motion cannot be seen.
    """
    channels = [np.ascontiguousarray(image[..., c]) for c in range(3)]
    block, window = max(3, round(side * 0.03)), round(side * WINDOW) | 1
    strength = np.max([cv2.cornerMinEigenVal(channel, block) for channel in channels], axis=0)
    tensors = np.max([np.sort(cv2.cornerEigenValsAndVecs(c, window, 3)[..., :2], axis=-1) for c in channels], axis=0)
    two_directions = tensors[..., 0] > EDGE_RATIO * tensors[..., 1]
    apart = max(3, round(side * 0.02)) | 1
    maxima = strength == cv2.dilate(strength, np.ones((apart, apart), np.uint8))
    rows, columns = np.nonzero(maxima & two_directions & (strength > LEAST_STRENGTH))
    order = np.argsort(-strength[rows, columns], kind="stable")
    cell = (rows * CELLS // image.shape[0]) * CELLS + columns * CELLS // image.shape[1]
    taken = np.zeros(CELLS * CELLS, int)
    chosen = []
    for i in order:
        taken[cell[i]] += 1
        if taken[cell[i]] <= POINTS_PER_CELL:
            chosen.append((columns[i], rows[i]))
    return np.array(chosen, np.float32).reshape(-1, 2)


def _follow(
    cv2: Any, images: list[np.ndarray], start: int, corners: np.ndarray, side: float
) -> tuple[np.ndarray, np.ndarray]:
    """Positions `[n, f, 2]` and visibility `[n, f]` of corners of frame `start`."""
    window = max(5, round(side * WINDOW)) | 1
    options: dict[str, Any] = {
        "winSize": (window, window),
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.003),
        "minEigThreshold": 1e-5,
    }
    tracks = np.repeat(corners[:, None], len(images), axis=1)
    visible = np.zeros(tracks.shape[:2], bool)
    visible[:, start] = True
    for step in (1, -1):
        for i in range(start + step, len(images) if step > 0 else -1, step):
            before = tracks[:, i - step]
            tracks[:, i] = before
            # Short steps first: on a texture that repeats itself, a long one may fit as well.
            for levels in LEVELS:
                lost = (visible[:, i - step] & ~visible[:, i]).nonzero()[0]
                if not len(lost):
                    break
                old, pair = before[lost, None], (images[i - step], images[i])
                now, found, _ = cv2.calcOpticalFlowPyrLK(*pair, old, None, maxLevel=levels, **options)
                back, found_back, _ = cv2.calcOpticalFlowPyrLK(*pair[::-1], now, None, maxLevel=levels, **options)
                now, back = now[:, 0], back[:, 0]
                inside = ((now >= 0) & (now < images[i].shape[1::-1])).all(axis=1)
                good = (found[:, 0] & found_back[:, 0]).astype(bool) & inside
                good &= np.linalg.norm(back - before[lost], axis=1) < RETURN * side
                tracks[lost[good], i], visible[lost[good], i] = now[good], True
    return tracks, visible


TRACKERS: dict[str, Tracker] = {
    "lucas_kanade": lucas_kanade,
}


def _cotracker(weights: str) -> Tracker:
    from .cotracker import cotracker  # needs a package that few have

    return cotracker(weights)


# Trackers that need a file of weights: `name:FILE` names one.
LEARNED_TRACKERS: dict[str, Callable[[str], Tracker]] = {
    "cotracker": _cotracker,
}


def track(frames: Tensor, tracker: str | Tracker = "lucas_kanade") -> Tracks:
    """Tracks of a clip uint8 `[f, h, w, 3]` by a registered tracker, such as `lucas_kanade` or `cotracker:FILE`, or
    one's own.

    Raises MotionError for an unknown name, or a tracker that cannot be used here.
    """
    if isinstance(tracker, str):
        name, _, weights = tracker.partition(":")
        if name in LEARNED_TRACKERS:
            tracker = LEARNED_TRACKERS[name](weights)
        elif tracker in TRACKERS:
            tracker = TRACKERS[tracker]
        else:
            known = ", ".join([*TRACKERS, *(f"{name}:FILE" for name in LEARNED_TRACKERS)])
            raise MotionError(f"tracker is '{tracker}', but it must be one of {known}.")
    return tracker(frames)
