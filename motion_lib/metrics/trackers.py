"""Point trackers: what turns a clip into tracks for motion fidelity and camera motion.

A tracker is any function from frames to Tracks, registered by name. The default needs no download: pyramidal
Lucas-Kanade (Bouguet 2001) on Shi-Tomasi corners, each step checked by tracking it back (Kalal et al., 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import MotionError
from .frames import check_clip_tensor, opencv


@dataclass(frozen=True)
class Tracks:
    """points: float32 `[n, f, 2]`, x and y in pixels. visible: bool `[n, f]`; points are meaningless where it is
    false. size: (height, width) of the frames."""

    points: Tensor
    visible: Tensor
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: Any) -> Tracks:
        return Tracks(self.points[index], self.visible[index], self.size)


class Tracker(Protocol):
    """Frames uint8 `[f, h, w, 3]` to tracks of the same length."""

    def __call__(self, frames: Tensor) -> Tracks: ...


WORKING_SIDE = 128  # shorter side to which smaller frames are enlarged
POINTS = 120  # per frame that corners are sought in
WINDOW = 0.2  # of the shorter side: wide enough to see that the edge of a disc is curved
RETURN = 0.004  # of the shorter side: how far a point may be off when a step is tracked back
LEAST_VISIBLE = 0.5  # of the frames, or a track is dropped


def lucas_kanade(frames: Tensor) -> Tracks:
    """Corners of the first, middle and last frame, each followed to both ends of the clip or until it is lost.

    Raises MotionError without OpenCV, or for anything but a clip of at least two frames.
    """
    check_clip_tensor(frames, least=2)
    cv2 = opencv()
    height, width = frames.shape[1:3]
    scale = max(1.0, WORKING_SIDE / min(height, width))
    side = scale * min(height, width)
    # Enlarged by cubic interpolation; all three colours are tracked, since equal grey may hide an edge.
    images = [np.ascontiguousarray(frame) for frame in frames.cpu().numpy()]
    if scale > 1:
        size = (round(width * scale), round(height * scale))
        images = [cv2.resize(image, size, interpolation=cv2.INTER_CUBIC) for image in images]
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
    tracks = (torch.from_numpy(np.concatenate(points)) + 0.5) / scale - 0.5
    seen = torch.from_numpy(np.concatenate(visible))
    keep = seen.float().mean(dim=1) >= LEAST_VISIBLE
    return Tracks(tracks[keep], seen[keep], (height, width))


def _corners(cv2: Any, image: np.ndarray, side: float) -> np.ndarray:
    """Shi-Tomasi corners `[n, 2]`, strongest in any of the colours."""
    block = max(3, round(side * 0.03))
    strength = np.max([cv2.cornerMinEigenVal(np.ascontiguousarray(image[..., c]), block) for c in range(3)], axis=0)
    peak = float(strength.max())
    if peak < 1e-7:  # a frame of one colour, up to the noise of compression
        return np.empty((0, 2), np.float32)
    # goodFeaturesToTrack takes a picture and would find its corners: choose maxima of the strength directly.
    apart = max(3, round(side * 0.02)) | 1
    maxima = (strength == cv2.dilate(strength, np.ones((apart, apart), np.uint8))) & (strength > 0.01 * peak)
    rows, columns = np.nonzero(maxima)
    order = np.argsort(-strength[rows, columns], kind="stable")[:POINTS]
    return np.stack([columns[order], rows[order]], axis=1).astype(np.float32)


def _follow(
    cv2: Any, images: list[np.ndarray], start: int, corners: np.ndarray, side: float
) -> tuple[np.ndarray, np.ndarray]:
    """Positions `[n, f, 2]` and visibility `[n, f]` of corners of frame `start`."""
    window = max(5, round(side * WINDOW)) | 1
    options: dict[str, Any] = {
        "winSize": (window, window),
        "maxLevel": 3,
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.003),
        "minEigThreshold": 1e-5,
    }
    tracks = np.repeat(corners[:, None], len(images), axis=1)
    visible = np.zeros(tracks.shape[:2], bool)
    visible[:, start] = True
    for step in (1, -1):
        for i in range(start + step, len(images) if step > 0 else -1, step):
            before = tracks[:, i - step]
            now, found, _ = cv2.calcOpticalFlowPyrLK(images[i - step], images[i], before[:, None], None, **options)
            back, found_back, _ = cv2.calcOpticalFlowPyrLK(images[i], images[i - step], now, None, **options)
            now, back = now[:, 0], back[:, 0]
            inside = ((now >= 0) & (now < images[i].shape[1::-1])).all(axis=1)
            good = (found[:, 0] & found_back[:, 0]).astype(bool) & inside
            good &= np.linalg.norm(back - before, axis=1) < RETURN * side
            visible[:, i] = visible[:, i - step] & good
            tracks[:, i] = np.where(visible[:, i, None], now, before)
    return tracks, visible


TRACKERS: dict[str, Tracker] = {
    "lucas_kanade": lucas_kanade,
}


def track(frames: Tensor, tracker: str | Tracker = "lucas_kanade") -> Tracks:
    """Tracks of a clip uint8 `[f, h, w, 3]` by a registered tracker or one's own.

    Raises MotionError for an unknown name.
    """
    if isinstance(tracker, str):
        if tracker not in TRACKERS:
            raise MotionError(f"tracker is '{tracker}', but it must be one of {', '.join(TRACKERS)}.")
        tracker = TRACKERS[tracker]
    return tracker(frames)
