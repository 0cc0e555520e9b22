"""Comparing object paths."""

from __future__ import annotations

import math

import pytest
import torch

from motion_lib.metrics.paths import deviation, path_correlation, path_extent, speed_error

T = torch.linspace(0, 6.283, 33)
EIGHT = torch.stack([T.sin(), (2 * T).sin()], dim=1)


def test_place_and_size_do_not_matter() -> None:
    assert path_correlation(EIGHT, 0.2 * EIGHT + 3) == pytest.approx(1, abs=1e-6)
    assert path_correlation(EIGHT, -EIGHT) == pytest.approx(-1, abs=1e-6)


def test_orthogonal_paths_have_nothing_in_common() -> None:
    assert path_correlation(EIGHT[:-1] * torch.tensor([1.0, 0.0]), EIGHT[:-1] * torch.tensor([0.0, 1.0])) == 0


def test_still_or_unseen_paths_have_no_score() -> None:
    unseen = EIGHT.clone()
    unseen[3] = math.nan
    for other in (torch.zeros_like(EIGHT), unseen):
        assert math.isnan(path_correlation(EIGHT, other))


def test_extent_of_a_circle_is_its_radius() -> None:
    circle = 5 + 0.4 * torch.stack([T.cos(), T.sin()], dim=1)[:-1]
    assert path_extent(circle) == pytest.approx(0.4, abs=1e-5)


def test_speed_error_is_relative_and_blind_to_direction() -> None:
    assert speed_error(EIGHT, EIGHT) == 0 and speed_error(EIGHT.flip(1) + 2, EIGHT) == pytest.approx(0, abs=1e-6)
    assert speed_error(0.75 * EIGHT, EIGHT) == pytest.approx(0.25, abs=1e-6)
    assert speed_error(torch.zeros_like(EIGHT), EIGHT) == pytest.approx(1)
    late = torch.cat([torch.zeros(16, 1), torch.arange(17.0)[:, None]])
    assert speed_error(torch.arange(33.0)[:, None], late) == pytest.approx(1), "half of the steps should be still"


def test_deviation_is_the_distance_in_units_of_the_extent() -> None:
    assert deviation(EIGHT + 3, EIGHT) == pytest.approx(0, abs=1e-6)
    assert deviation(torch.zeros_like(EIGHT), EIGHT) == pytest.approx(1)
    assert deviation(-EIGHT, EIGHT) == pytest.approx(2, abs=1e-6)
    assert deviation(1.3 * EIGHT, EIGHT) == pytest.approx(0.3, abs=1e-6)


def test_errors_need_a_truth_that_moves_and_a_path_that_was_seen() -> None:
    for measure in (speed_error, deviation):
        assert math.isnan(measure(EIGHT, torch.zeros_like(EIGHT)))
        assert math.isnan(measure(torch.full_like(EIGHT, math.nan), EIGHT))
