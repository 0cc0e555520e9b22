"""Start noises. Every one is `(inverted, fresh, weight) -> noise` over `[b, c, f, h, w]`: `inverted` comes from DDIM
inversion of the reference, `fresh` is Gaussian, and weight 1 means as much of the reference as this noise can hold."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from .errors import MotionError

StartNoise = Callable[[Tensor, Tensor, float], Tensor]


def blend(inverted: Tensor, fresh: Tensor, weight: float) -> Tensor:
    """√w·z_inv + √(1−w)·n, which keeps unit variance (MotionDirector, arXiv 2310.08465; Motion Inversion)."""
    if not 0 <= weight <= 1:
        raise MotionError(
            f"The noise weight is {weight}, but it must lie between 0 (fresh noise) and 1 (inverted noise)."
        )
    return math.sqrt(weight) * inverted + math.sqrt(1 - weight) * fresh


START_NOISES: dict[str, StartNoise] = {
    "blend": blend,
}


def mix(inverted: Tensor, fresh: Tensor, weight: float = 0.5, noise: str = "blend") -> Tensor:
    """The start noise `[b, c, f, h, w]` of this name in START_NOISES.

    Raises MotionError for an unknown name, unequal shapes or a weight that does not suit.
    """
    if noise not in START_NOISES:
        raise MotionError(f"The start noise is '{noise}', but it must be one of {', '.join(START_NOISES)}.")
    if inverted.shape[1:] != fresh.shape[1:]:
        raise MotionError(
            f"The inverted noise is of shape {list(inverted.shape)}, the fresh one of {list(fresh.shape)}: "
            f"invert a clip of the size and number of frames that are generated."
        )
    return START_NOISES[noise](inverted, fresh, weight)
