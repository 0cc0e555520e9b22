"""Where a clip moves."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st

from motion_lib.training.motion_mask import motion_mask
from tests.tiny import randn


def dot(column: int, value: float, frame: int) -> torch.Tensor:
    """Latents `[1, 2, 5, 8, 8]`, constant except at row 4 of one frame."""
    latents = randn(1, 2, 1, 8, 8).expand(1, 2, 5, 8, 8).clone()
    latents[:, 0, frame, 4, column] += value
    return latents


def as_grid(mask: torch.Tensor, height: int = 8) -> torch.Tensor:
    return rearrange(mask, "(h w) f 1 -> f h w", h=height)


def test_only_the_moving_place_and_its_neighbours_in_that_frame() -> None:
    mask = as_grid(motion_mask(dot(2, 3.0, frame=1), (8, 8), 0.5))
    expected = torch.zeros(5, 8, 8)
    expected[1, 3:6, 1:4] = 1
    torch.testing.assert_close(mask, expected)


def test_small_movements_fade_in_proportion() -> None:
    """Two dots, 1 and 4 from the median: at threshold 0.5 full movement begins at 2, so the first counts half."""
    latents = dot(1, 4.0, frame=0)
    latents[:, 1, 3, 4, 6] += 1.0
    mask = as_grid(motion_mask(latents, (8, 8), 0.5))
    assert float(mask[0, 4, 1]) == 1 and float(mask[3, 4, 6]) == pytest.approx(0.5)


def test_a_coarser_grid_holds_the_most_of_its_cells() -> None:
    fine = as_grid(motion_mask(dot(2, 3.0, frame=1), (8, 8), 0.35))
    coarse = as_grid(motion_mask(dot(2, 3.0, frame=1), (4, 4), 0.35), 4)
    assert torch.equal(coarse, torch.nn.functional.max_pool2d(fine, 2))


def test_several_clips_move_where_any_of_them_does() -> None:
    one, two = dot(2, 3.0, frame=1), dot(6, 3.0, frame=3)
    both = motion_mask(torch.cat([one, two]), (8, 8), 0.5)
    assert torch.equal(both, torch.maximum(motion_mask(one, (8, 8), 0.5), motion_mask(two, (8, 8), 0.5)))


def test_a_still_clip_hides_nothing() -> None:
    assert bool((motion_mask(torch.ones(1, 4, 6, 8, 8), (4, 4), 0.35) == 1).all())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), scale=st.floats(0.1, 10), height=st.integers(1, 9), width=st.integers(1, 9))
def test_brightness_and_contrast_change_nothing(seed: int, scale: float, height: int, width: int) -> None:
    latents = randn(1, 4, 5, 8, 9, seed=seed, dtype=torch.float64)
    mask = motion_mask(latents, (height, width), 0.4)
    assert mask.shape == (height * width, 5, 1) and bool(((mask >= 0) & (mask <= 1)).all()) and mask.max() == 1
    torch.testing.assert_close(motion_mask(scale * latents + 3, (height, width), 0.4), mask)
