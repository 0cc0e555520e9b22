"""Shapes that stand in for what moves in a clip."""

from __future__ import annotations

import math

import pytest
import torch

from motion_lib.benchmark.cases import rendered_case
from motion_lib.errors import MotionError
from motion_lib.sprites import SYMMETRY, check_frames, object_angle, object_area, object_path, parse_caption
from motion_lib.sprites.stand_ins import MOST, stand_ins
from motion_lib.video.frames import planes


def test_they_go_where_the_thing_goes_and_are_as_large() -> None:
    case = rendered_case("figure_eight", 1, 17, 128)
    path, area = object_path(planes(case.frames)), object_area(planes(case.frames)).mean()
    made = stand_ins(case.frames)
    assert len(made) == 8
    for each in made:
        assert each.frames.shape == case.frames.shape and each.frames.dtype == torch.uint8
        assert (object_path(planes(each.frames)) - path).norm(dim=-1).mean() < 0.06
        assert object_area(planes(each.frames)).mean() == pytest.approx(float(area), rel=0.3)


def test_each_looks_as_its_prompt_says_and_unlike_the_others() -> None:
    made = stand_ins(rendered_case("orbit", 1, 9, 128).frames)
    for each in made:
        (verdict,) = check_frames(planes(each.frames[4:5]))
        words = parse_caption(each.prompt)
        assert (verdict.words.shape, verdict.words.colour, verdict.words.tone) == (
            words.shape,
            words.colour,
            words.tone,
        )
    assert len({parse_caption(each.prompt).shape for each in made}) == 8
    assert len({parse_caption(each.prompt).colour for each in made}) == 7


def test_they_turn_where_the_thing_turns() -> None:
    case = rendered_case("spin", 1, 33, 128, 6)
    for each in stand_ins(case.frames, count=3):
        shape = parse_caption(each.prompt).shape
        assert shape in SYMMETRY
        turned = object_angle(planes(each.frames), shape)
        whole = math.tau / SYMMETRY[shape]
        steps = (turned.diff() + whole / 2) % whole - whole / 2
        assert float(steps.sum()) == pytest.approx(1.5 * math.pi, abs=0.5)


def test_a_seed_decides_how_they_look() -> None:
    frames = rendered_case("zigzag", 1, 5, 64).frames
    one, again, other = (stand_ins(frames, 2, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a.frames, b.frames) and a.prompt == b.prompt for a, b in zip(one, again, strict=True))
    assert [each.prompt for each in one] != [each.prompt for each in other]


def test_pictures_need_not_be_square() -> None:
    wide = rendered_case("zigzag", 1, 9, 96).frames[:, 20:70]
    (made,) = stand_ins(wide, 1)
    assert made.frames.shape == wide.shape
    apart = object_path(planes(made.frames)) - object_path(planes(wide))
    assert apart.norm(dim=-1).mean() < 0.1


@pytest.mark.parametrize("count", [0, MOST + 1])
def test_numbers_that_cannot_be_are_refused(count: int) -> None:
    with pytest.raises(MotionError, match=f"count is {count}"):
        stand_ins(rendered_case("zigzag", 1, 3, 32).frames, count)
