"""Where things are in masks and clips."""

from __future__ import annotations

import pytest
import torch

from motion_lib.benchmark.cases import rendered_case
from motion_lib.errors import MotionError
from motion_lib.training.provenance import place_in
from motion_lib.video.place import Place


def test_of_a_box() -> None:
    mask = torch.zeros(40, 80)
    mask[10:20, 40:60] = 1
    assert Place.of(mask) == pytest.approx((50 / 80, 15 / 40, 0.25))
    assert Place.of(mask / 2)[:2] == Place.of(mask)[:2]


@pytest.mark.parametrize("mask", [torch.zeros(4, 4), torch.zeros(0, 4), torch.full((4, 4), 2.0), torch.ones(1, 4, 4)])
def test_a_mask_that_says_nothing_is_refused(mask: torch.Tensor) -> None:
    with pytest.raises(MotionError, match="The mask"):
        Place.of(mask)


@pytest.mark.parametrize("motion", ["spiral", "zigzag", "hook"])
def test_the_thing_of_a_clip_is_found_where_it_begins_and_ends(motion: str) -> None:
    case = rendered_case(motion, 1)
    assert case.truth is not None
    for at in (0, -1):
        true = (case.truth.position[0, at] + 1) / 2
        assert place_in(case.frames, at)[:2] == pytest.approx(true.tolist(), abs=0.01)


@pytest.mark.parametrize("motion", ["pan", "zoom", "sway_camera", "stop_and_go"])
def test_nothing_is_said_where_no_one_thing_moves_from_the_beginning(motion: str) -> None:
    """Under a moving camera; and what rests for long is background too, and leaves a hole."""
    frames = rendered_case(motion, 1, 33).frames
    assert place_in(frames, 0) == ()
    with pytest.raises(MotionError, match="does not look like one thing"):
        Place.of_moving(frames)
