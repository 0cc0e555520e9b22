"""Comparing object paths."""

from __future__ import annotations

import math

import pytest
import torch

from motion_lib.metrics.paths import path_correlation, path_extent, velocity_cosine

T = torch.linspace(0, 6.283, 33)
EIGHT = torch.stack([T.sin(), (2 * T).sin()], dim=1)


def test_place_and_size_do_not_matter() -> None:
    for measure in (path_correlation, velocity_cosine):
        assert measure(EIGHT, 0.2 * EIGHT + 3) == pytest.approx(1, abs=1e-6)
        assert measure(EIGHT, -EIGHT) == pytest.approx(-1, abs=1e-6)


def test_orthogonal_paths_have_nothing_in_common() -> None:
    assert path_correlation(EIGHT[:-1] * torch.tensor([1.0, 0.0]), EIGHT[:-1] * torch.tensor([0.0, 1.0])) == 0


def test_velocity_sees_what_the_path_hides() -> None:
    fast = torch.stack([0.3 * (12 * T).sin(), torch.zeros_like(T)], dim=1)
    drift = torch.stack([T, torch.zeros_like(T)], dim=1)
    assert path_correlation(drift, drift + fast) > 0.95 and velocity_cosine(drift, drift + fast) < 0.5


def test_still_or_unseen_paths_have_no_score() -> None:
    unseen = EIGHT.clone()
    unseen[3] = math.nan
    for other in (torch.zeros_like(EIGHT), unseen):
        assert math.isnan(path_correlation(EIGHT, other)) and math.isnan(velocity_cosine(EIGHT, other))


def test_extent_of_a_circle_is_its_radius() -> None:
    circle = 5 + 0.4 * torch.stack([T.cos(), T.sin()], dim=1)[:-1]
    assert path_extent(circle) == pytest.approx(0.4, abs=1e-5)
