"""Comparing two paths `[f, 2]` of an object over the frames, or its sizes or angles `[f, 1]`."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def path_correlation(a: Tensor, b: Tensor) -> float:
    """Pearson correlation of two paths, over x and y together: 1 for the same path anywhere at any size, -1 for its
    opposite, NaN where one of them does not move or was not seen."""
    return _correlation(a - a.mean(dim=0), b - b.mean(dim=0))


def _correlation(a: Tensor, b: Tensor) -> float:
    a, b = a.double(), b.double()
    size = a.norm() * b.norm()
    return float((a * b).sum() / size) if size > 1e-9 and torch.isfinite(size) else math.nan


def path_extent(path: Tensor) -> float:
    """Root mean square distance from the path's own centre, in the units of the path."""
    return float((path - path.mean(dim=0)).square().sum(dim=1).mean().sqrt())


def path_smoothness(path: Tensor) -> float:
    """Cosine of every step with the one after it: 1 for a straight line, about −0.5 for places that have nothing to do
    with each other; NaN for fewer than three frames, a path that stands still and one that was not seen."""
    steps = path.diff(dim=0)
    return _correlation(steps[:-1], steps[1:]) if len(steps) > 1 else math.nan


def speed_error(path: Tensor, truth: Tensor) -> float:
    """Mean absolute difference of the speeds from frame to frame, in units of the true mean speed: 0 for the truth, 1
    for a still object; NaN where the truth stands still or the path was not seen."""
    speed, true_speed = (p.double().diff(dim=0).norm(dim=1) for p in (path, truth))
    return _ratio((speed - true_speed).abs().mean(), true_speed.mean())


def deviation(path: Tensor, truth: Tensor) -> float:
    """Root mean square distance of two paths laid centre on centre, in units of the truth's own extent: 0 for the same
    path anywhere, 1 for a still object, 2 for the opposite path; NaN as for `speed_error`."""
    a, b = ((p - p.mean(dim=0)).double() for p in (path, truth))
    return _ratio((a - b).square().sum().sqrt(), b.square().sum().sqrt())


def _ratio(error: Tensor, scale: Tensor) -> float:
    return float(error / scale) if scale > 1e-6 and torch.isfinite(error) else math.nan
