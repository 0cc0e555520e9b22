"""What every measure expects of its clips: uint8 `[f, h, w, 3]`, RGB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import MotionError

PIXELS_AT_ONCE = 1 << 21


def check_clip_tensor(frames: Tensor, what: str = "The clip", least: int = 1, side: int = 1) -> None:
    """Raise MotionError unless `frames` is uint8 `[f, h, w, 3]` with at least `least` frames, no side below `side`."""
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != torch.uint8:
        shape = list(frames.shape)
        raise MotionError(f"{what} is {frames.dtype} of shape {shape}, but measures need uint8 [f, h, w, 3] in RGB.")
    if len(frames) < least:
        plural = "" if len(frames) == 1 else "s"
        raise MotionError(f"{what} has {len(frames)} frame{plural}, but this measure needs at least {least}.")
    if min(frames.shape[1:3]) < side:
        size = f"{frames.shape[2]}×{frames.shape[1]}"
        raise MotionError(f"{what} has frames of {size} pixels, but this measure needs at least {side} on each side.")


def check_pair(reference: Tensor, output: Tensor, least: int = 1) -> None:
    """Raise MotionError unless both are clips with equally many frames."""
    check_clip_tensor(reference, "The reference", least)
    check_clip_tensor(output, "The output", least)
    if len(reference) != len(output):
        raise MotionError(
            f"The reference has {len(reference)} frames and the output has {len(output)}: compare clips of equal "
            f"length."
        )


def planes(frames: Tensor) -> Tensor:
    """Frames `[f, 3, h, w]` in [0, 1]."""
    return frames.permute(0, 3, 1, 2).float() / 255


def resized(pictures: list[np.ndarray], side: int) -> list[np.ndarray]:
    """Pictures `[h, w, …]` of one size, brought to a shorter side of `side` pixels: enlarged by cubic interpolation, or
    reduced by the mean of what falls into a pixel. Needs OpenCV."""
    height, width = pictures[0].shape[:2]
    now = min(height, width)
    if side == now:
        return pictures
    cv2, size = opencv(), (round(width * side / now), round(height * side / now))
    how = cv2.INTER_CUBIC if side > now else cv2.INTER_AREA
    return [cv2.resize(picture, size, interpolation=how) for picture in pictures]


def parts(frames: Tensor) -> Iterator[Tensor]:
    """The same as `planes`, of a few frames at a time: measures of single frames take several times as much memory."""
    at_once = max(1, PIXELS_AT_ONCE // (frames.shape[1] * frames.shape[2]))
    return (planes(part) for part in frames.split(at_once))


def opencv() -> Any:
    """OpenCV, which only some measures need: imported late, and MotionError where it is missing or broken."""
    try:
        import cv2
    except ImportError as error:
        raise MotionError(
            "This measure needs OpenCV, which is not installed: run `pip install opencv-python-headless`."
        ) from error
    return cv2
