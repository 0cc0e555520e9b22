"""A factor that changes along the way: pairs (position, factor), linear between them and constant beyond the ends.
Positions run from 0 to 1, over the frames of a video or over its sampling."""

from __future__ import annotations

import math
from itertools import pairwise

from ..errors import MotionError

Curve = tuple[tuple[float, float], ...]


def check_curve(name: str, curve: Curve) -> None:
    """Raises MotionError unless positions ascend within 0 to 1 and factors are finite; () is no curve."""
    positions = [position for position, _ in curve]
    if not all(0 <= p <= 1 for p in positions) or any(a >= b for a, b in pairwise(positions)):
        raise MotionError(f"{name} has the positions {positions}, but they must ascend from 0 to 1.")
    if not all(math.isfinite(factor) for _, factor in curve):
        raise MotionError(f"{name} has the factors {[f for _, f in curve]}, but they must be finite numbers.")


def factor_at(curve: Curve, position: float) -> float:
    """The factor at a position; 1 without a curve."""
    if not curve:
        return 1.0
    for (left, low), (right, high) in pairwise(curve):
        if left <= position <= right:
            share = (position - left) / (right - left)
            return (1 - share) * low + share * high
    return curve[0][1] if position < curve[0][0] else curve[-1][1]


def parse_curve(name: str, text: str) -> Curve:
    """A curve written as in '0:1, 0.5:0.2, 1:0'. Raises MotionError for anything else."""
    try:
        pairs = [part.split(":") for part in text.split(",") if part.strip()]
        curve = tuple((float(position), float(factor)) for position, factor in pairs)
    except ValueError as error:
        raise MotionError(
            f"{name} is '{text}', but it must be pairs of position and factor, as in 0:1,0.5:0.2."
        ) from error
    check_curve(name, curve)
    return curve
