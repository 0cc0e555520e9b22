"""Where in a picture a thing is."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import MotionError
from .look import moving_mask

# One thing is no larger, as a root of its share of the picture, and reaches no further about its middle, in root mean
# square and in units of its size: a disc .40, a standing person about .55. Of clips of the benchmark's motions, nothing
# was taken for a thing under a moving camera (.60 at a size of .6; otherwise .66 and more).
LARGEST, WIDEST = 0.5, 0.65


class Place(NamedTuple):
    """x, y: the middle of a thing, in shares of the picture's width and height from its upper left corner. size: the
    square root of the thing's share of the picture."""

    x: float
    y: float
    size: float

    @classmethod
    def of(cls, mask: Tensor) -> Place:
        """Of what is white in `[h, w]` of values from 0 to 1. Raises MotionError for anything else, or where nothing
        is."""
        if mask.ndim != 2 or 0 in mask.shape or not bool(((mask >= 0) & (mask <= 1)).all()):
            raise MotionError(f"The mask of shape {list(mask.shape)} should be [h, w] with values from 0 to 1.")
        if float(mask.double().sum()) < 0.5:  # of a pixel
            raise MotionError("The mask is black, so it does not say where the thing is: paint the thing white.")
        (x, _), (y, _) = _spread(mask, 0), _spread(mask, 1)
        return cls(x, y, float(mask.double().mean()) ** 0.5)

    @classmethod
    def of_moving(cls, frames: Tensor, at: int = 0) -> Place:
        """Of what moves in frame `at` of a clip uint8 `[f, h, w, 3]`. Raises MotionError as `moving_mask` does, and if
        that is not one thing in this frame."""
        mask = moving_mask(frames)[at]
        if not is_one_thing(mask):
            raise MotionError(
                "What moves in a frame of the clip does not look like one thing, as when the camera moves or much "
                "of it stands still: move the motion by hand."
            )
        return cls.of(mask)


def is_one_thing(mask: Tensor) -> bool:
    """Whether what is white in `[h, w]` of values from 0 to 1 is small and compact, as a thing is. Raises MotionError
    as `Place.of` does."""
    size = Place.of(mask).size
    reach = (_spread(mask, 0)[1] + _spread(mask, 1)[1]) ** 0.5
    return size <= LARGEST and reach <= WIDEST * size


def _spread(mask: Tensor, along: int) -> tuple[float, float]:
    """The mean and the variance of where a mask is white, in shares of the picture; summed along one of its axes."""
    weight = mask.double().sum(along)
    at = (torch.arange(len(weight)).double() + 0.5) / len(weight)
    weight = weight / weight.sum()
    mean = (weight * at).sum()
    return float(mean), float((weight * (at - mean).square()).sum())
