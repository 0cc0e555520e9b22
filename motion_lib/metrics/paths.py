"""Comparing two paths `[f, 2]` of an object over the frames."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def path_correlation(a: Tensor, b: Tensor) -> float:
    """Pearson correlation of two paths, over x and y together: 1 for the same path anywhere at any size, -1 for its
    opposite, NaN where one of them does not move or was not seen."""
    return _correlation(a - a.mean(dim=0), b - b.mean(dim=0))


def velocity_cosine(a: Tensor, b: Tensor) -> float:
    """The same for the steps from frame to frame: is the object moving the same way at the same time?"""
    return _correlation(a.diff(dim=0), b.diff(dim=0))


def _correlation(a: Tensor, b: Tensor) -> float:
    a, b = a.double(), b.double()
    size = a.norm() * b.norm()
    return float((a * b).sum() / size) if size > 1e-9 and torch.isfinite(size) else math.nan


def path_extent(path: Tensor) -> float:
    """Root mean square distance from the path's own centre, in the units of the path."""
    return float((path - path.mean(dim=0)).square().sum(dim=1).mean().sqrt())
