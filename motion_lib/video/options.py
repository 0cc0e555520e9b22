"""Which frames of a clip are used, and at which size. The words are those that VideoHelperSuite taught its users."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeVar, get_args

from ..errors import MotionError
from .limits import FASTEST, is_rate

Fit = Literal["crop", "fit", "stretch"]
T = TypeVar("T")

# Containers round presentation times to their own clock: two times closer than this are the same time [s].
SAME_TIME = 1e-6
HIGHEST = 1_000_000  # of every whole number below: what is skipped is decoded too


@dataclass(frozen=True)
class ClipOptions:
    """What to take from a clip: `force_rate` acts first, then skipping, every nth frame, and the cap.

    Raises:
        MotionError: a value is out of range; the sentence names the field.
    """

    force_rate: float = 0.0
    """Frames per second to resample the clip to, by nearest presentation time; 0 keeps every frame."""
    frame_load_cap: int = 0
    """At most this many frames, counted after the other selections; 0 takes all."""
    skip_first_frames: int = 0
    """How many frames to leave out at the beginning, counted at the forced rate."""
    select_every_nth: int = 1
    """1 takes every frame, 2 every second one, and so on."""
    width: int = 0
    """Width in pixels; 0 follows the height by the aspect ratio, and both 0 keep the size."""
    height: int = 0
    """Height in pixels; 0 follows the width by the aspect ratio, and both 0 keep the size."""
    fit: Fit = "crop"
    """What happens if the aspect ratio differs: crop cuts the edges, fit adds black bars, stretch distorts."""

    def __post_init__(self) -> None:
        if self.force_rate and not is_rate(self.force_rate):
            raise MotionError(
                f"force_rate is {self.force_rate}, but it must be 0 (keep) or frames per second up to {FASTEST:g}."
            )
        lowest = {"skip_first_frames": 0, "select_every_nth": 1, "frame_load_cap": 0, "width": 0, "height": 0}
        for name, minimum in lowest.items():
            if not minimum <= getattr(self, name) <= HIGHEST:
                raise MotionError(f"{name} is {getattr(self, name)}, but it must be from {minimum} to {HIGHEST}.")
        if self.fit not in get_args(Fit):
            raise MotionError(f"fit is {self.fit!r}, but it must be one of {', '.join(get_args(Fit))}.")

    def target_size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) in pixels that a frame of this size gets."""
        if not (self.width or self.height):
            return width, height
        return (
            self.width or max(1, round(width * self.height / height)),
            self.height or max(1, round(height * self.width / width)),
        )


def resample(timed: Iterable[tuple[float, T]], rate: float) -> Iterator[T]:
    """The item nearest in time to each tick `start + k / rate`; of two equally near, the earlier.

    Times [s] must not decrease. The last item is taken to last as long as the average one, so 24 frames of a second
    give 12 at rate 12 and 48 at rate 48.
    """
    timed = iter(timed)
    head = next(timed, None)
    if head is None:
        return
    start, shown = head
    shown_at, mean, tick = start, 1 / rate, 0
    for count, (time, item) in enumerate(timed, 1):
        while start + tick / rate <= (shown_at + time) / 2 + SAME_TIME:
            yield shown
            tick += 1
        shown_at, shown, mean = time, item, (time - start) / count
    while start + tick / rate < shown_at + mean - SAME_TIME:
        yield shown
        tick += 1


def select(timed: Iterable[tuple[float, T]], options: ClipOptions) -> Iterator[T]:
    """The items that `options` keep of (time [s], item) pairs, which are consumed no further than needed."""
    items = resample(timed, options.force_rate) if options.force_rate else (item for _, item in timed)
    first, step, cap = options.skip_first_frames, options.select_every_nth, options.frame_load_cap
    return islice(items, first, first + (cap - 1) * step + 1 if cap else None, step)


def select_indices(timestamps: Sequence[float], options: ClipOptions) -> list[int]:
    """Indices, in order, of the frames that `options` keep of a clip shown at these times [s]."""
    return list(select(((time, index) for index, time in enumerate(timestamps)), options))
