"""Growth and turning against rendered objects, whose size and angle are known."""

from __future__ import annotations

import math

import pytest
import torch

from motion_lib.metrics.paths import path_correlation
from motion_lib.metrics.pose import object_size, object_turn
from motion_lib.sprites import SHAPES, SYMMETRY, Scenes

from .clips import clips, scenes

T = torch.linspace(0, 1, 16)


def posed(shape: str) -> Scenes:
    truth = scenes(1, 71)
    truth.shape[:] = SHAPES.index(shape)
    truth.position[0] = 0.3 * torch.stack([(6 * T).cos(), (6 * T).sin()], dim=1)
    truth.radius[0] = 0.24 * (0.6 * T**2).exp()
    truth.angle[0] = 0.4 + 4.0 * T - 6.0 * T**2
    return truth


@pytest.mark.parametrize("shape", SHAPES)
def test_size_is_the_true_one_up_to_a_factor(shape: str) -> None:
    truth = posed(shape)
    size = object_size(clips(truth)[0])
    assert (size - size[0] - (truth.radius[0] / truth.radius[0, 0]).log()).abs().max() < 0.04


@pytest.mark.parametrize("shape", SYMMETRY)
def test_turn_is_the_true_one_both_ways(shape: str) -> None:
    truth = posed(shape)
    turn = object_turn(clips(truth)[0])
    assert turn[0] == 0 and (turn - (truth.angle[0] - truth.angle[0, 0])).abs().max() < 0.05


@pytest.mark.parametrize("shape", ["circle", "ring"])
def test_round_shapes_are_not_said_to_turn(shape: str) -> None:
    assert object_turn(clips(posed(shape))[0]).isnan().all()


def test_unseen_frames_hold_what_was_seen_last() -> None:
    frames = clips(posed("heart"))[0]
    whole = object_size(frames), object_turn(frames)
    frames[[0, 5, 15]] = 128
    size, turn = object_size(frames), object_turn(frames)
    assert size[0] == size[1] == whole[0][1] and size[15] == whole[0][14] and not size.isnan().any()
    assert turn[15] == turn[14] and path_correlation(turn[:, None], whole[1][:, None]) > 0.98
    nothing = torch.full_like(frames, 128)
    assert object_size(nothing).isnan().all() and object_turn(nothing).isnan().all()
    assert math.isnan(path_correlation(object_size(nothing)[:, None], whole[0][:, None]))
