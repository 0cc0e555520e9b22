"""The losses of motion codes, against numbers worked out by hand and against shifts made by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from motion_lib.codes import losses

from .conftest import noise


def test_swapped_codes_are_those_of_the_other_clips() -> None:
    """Object o under camera c takes its object token from camera 1 − c, and its camera token from object 1 − o."""
    codes = torch.zeros(1, 2, 2, 1, 2, 2)
    for o in range(2):
        for c in range(2):
            codes[0, o, c, 0] = torch.tensor([[10 + o, c], [20 + c, o]])
    swapped = losses.swapped(codes)
    for o in range(2):
        for c in range(2):
            assert swapped[0, o, c, 0].tolist() == [[10 + o, 1 - c], [20 + c, 1 - o]]


def test_same_motion_is_low_where_pairs_agree_and_counts_all_positives() -> None:
    a = F.normalize(noise(6, 16), dim=-1)
    assert float(losses.same_motion(a, a)) < 0.1 < float(losses.same_motion(a, a.roll(1, 0)))
    same = torch.eye(2).repeat_interleave(2, 0)  # two motions, each twice
    alike = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2))
    assert float(losses.same_motion(same, same, alike)) == pytest.approx(math.log(2), abs=1e-3)


def test_rows_without_a_positive_do_not_count() -> None:
    a = F.normalize(noise(3, 8), dim=-1)
    alike = torch.zeros(3, 3)
    assert float(losses.same_motion(a, a, alike)) == 0
    alike[0, 0] = 1
    assert float(losses.same_motion(a, a, alike)) == pytest.approx(
        -float((a @ a.T / losses.TEMPERATURE).log_softmax(1)[0, 0]), rel=1e-5
    )


def test_words_are_said_of_every_motion_that_has_all_of_them() -> None:
    """`right` is said of both that go right, `right` and `hops` of the one that hops."""
    true = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    asked = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    seen = {}

    def spy(first: torch.Tensor, second: torch.Tensor, alike: torch.Tensor) -> torch.Tensor:
        seen["alike"] = alike
        return first.sum()

    original, losses.same_motion = losses.same_motion, spy
    try:
        losses.same_words(noise(3, 4), noise(2, 4), asked, true)
    finally:
        losses.same_motion = original
    assert seen["alike"].tolist() == [[True, True], [True, False], [False, False]]


def test_labels_count_only_where_they_are_known() -> None:
    found, truth = torch.zeros(2, 3, 1), torch.tensor([1.0, 5.0])[:, None, None].expand(2, 3, 1)
    assert float(losses.labelled(found, truth, torch.tensor([1.0, 0.0]))) == 1
    assert float(losses.labelled(found, truth, torch.tensor([1.0, 1.0]))) == 13
    assert float(losses.labelled(found, truth, torch.zeros(2))) == 0


def test_one_code_is_zero_for_the_same_codes_and_one_for_unrelated_ones() -> None:
    a, b, counts = noise(500, 2, 2, 4), noise(500, 2, 2, 4, seed=2), torch.ones(500, 1, 2, 1)
    assert float(losses.one_code(a, a, counts)) == 0
    assert float(losses.one_code(a, b, counts)) == pytest.approx(1, abs=0.05)
    shared = noise(500, 2, 2, 4, seed=3)
    assert float(losses.one_code(3 * shared + a, 3 * shared + b, counts)) == pytest.approx(0.1, abs=0.02)


def test_one_code_gains_nothing_by_making_all_codes_alike_and_counts_what_both_show() -> None:
    a, b = noise(300, 1, 2, 4), noise(300, 1, 2, 4, seed=2)
    counts = torch.ones(300, 1, 2, 1)
    large, small = (float(losses.one_code(factor * a, factor * b, counts)) for factor in (1.0, 0.5))
    assert small == pytest.approx(large, rel=0.05)
    hidden = torch.tensor([1.0, 0.0])[None, None, :, None].expand(300, 1, 2, 1)
    b[:, :, 0] = a[:, :, 0]
    assert float(losses.one_code(a, b, hidden)) == 0 < float(losses.one_code(a, b, counts))


def test_a_motion_and_its_reverse_cost_their_likeness_and_no_more() -> None:
    a = noise(4, 3, 2, 5)
    assert float(losses.reversed_apart(a, a)) == pytest.approx(1, abs=1e-5)
    assert float(losses.reversed_apart(a, -a)) == 0


def test_movement_weighs_what_moves_and_has_mean_one() -> None:
    latents = torch.zeros(1, 4, 5, 8, 8)
    for frame in range(5):
        latents[0, :, frame, 2, frame] = 1
    weight = losses.movement_weight(latents).square()
    assert float(weight[0, 0, 1, 2, 1]) > 3 * float(weight[0, 0, 1, 6, 6]) == pytest.approx(1.5)
    still = losses.movement_weight(torch.ones(1, 4, 5, 8, 8)).square()
    assert torch.allclose(still, torch.full_like(still, 0.5))


def shifted(picture: torch.Tensor, x: int, y: int = 0) -> torch.Tensor:
    return picture.roll((y, x), dims=(2, 3))


def smooth_picture() -> torch.Tensor:
    return F.interpolate(noise(2, 3, 8, 8), size=(32, 32), mode="bicubic")


def test_a_slight_shift_costs_nothing_and_a_larger_one_costs_what_it_costs() -> None:
    """Plain reconstruction minds a shift of one pixel, which is why there is this one."""
    picture = smooth_picture()
    plain = [float((shifted(picture, x) - picture).square().mean()) for x in range(5)]
    tolerant = [float(losses.shift_tolerant(shifted(picture, x), picture)) for x in range(5)]
    assert plain[0] == tolerant[0] == 0 and tolerant[1] == pytest.approx(0, abs=1e-9)
    assert plain[1] > 0.01
    assert tolerant[2] == pytest.approx(0.002, rel=1e-3)  # the price of the second pixel
    assert tolerant[4] > 10 * tolerant[2] and tolerant[4] > 0.3 * plain[2]
    diagonal = float(losses.shift_tolerant(shifted(picture, -1, 1), picture))
    assert diagonal == pytest.approx(0.002 * (2**0.5 - 1), rel=1e-2)


def test_what_moves_apart_from_the_rest_costs() -> None:
    """One shift for the whole picture: an object that moves by a pixel is not excused by the ground that does not."""
    picture = smooth_picture()
    moved = picture.clone()
    moved[:, :, 10:20, 11:21] = picture[:, :, 10:20, 10:20]
    plain = float((moved - picture).square().mean())
    assert float(losses.shift_tolerant(moved, picture)) == pytest.approx(plain, rel=1e-3) and plain > 1e-4
