"""How much of a video is read. Some hundred bytes can declare any number of frames of any size, and a file of a few
hundred kilobytes can hold them."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import MotionError

LARGEST_FRAME = 8192 * 4320  # pixels
SLOWEST, FASTEST = 0.001, 1000.0  # frames per second


@dataclass(frozen=True)
class Limit:
    """How many frames, and pixels of all frames together, are taken of one clip."""

    frames: int
    pixels: int

    def check(self, name: str, count: int, width: int, height: int) -> None:
        """Raise MotionError if `count` frames of this size are too many."""
        if count > self.frames or count * width * height > self.pixels:
            raise MotionError(
                f"{name} has {count} or more frames of {width}x{height}, but at most {self.frames} frames and "
                f"{self.pixels // 1_000_000} million pixels in all can be used: take fewer frames or a smaller width "
                "and height."
            )


KEPT = Limit(frames=10_000, pixels=1 << 27)  # 64 frames of 1920×1080, 0.4 GB


def check_frame(name: str, width: int, height: int) -> None:
    """Raise MotionError if a frame is too large to be decoded."""
    if width * height > LARGEST_FRAME:
        raise MotionError(
            f"{name} has frames of {width}x{height}, but more than {LARGEST_FRAME // 1_000_000} million pixels are not "
            "decoded: make it smaller with a video editor."
        )


def is_rate(value: object) -> bool:
    """Can this be frames per second?"""
    return isinstance(value, int | float) and not isinstance(value, bool) and SLOWEST <= value <= FASTEST
