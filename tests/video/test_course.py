"""Following a thing: where it is, how large, and how it turns."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from motion_lib.benchmark.cases import Case, foreign_case, rendered_case
from motion_lib.errors import MotionError
from motion_lib.sprites import Scenes
from motion_lib.video import course
from motion_lib.video.course import Course
from motion_lib.video.cut_out import cut_out
from motion_lib.video.look import moving_mask


def away(found: Course, truth: Scenes) -> float:
    return float((found.centre - truth.position[0]).norm(dim=-1).mean())


def of(case: Case) -> tuple[Course, Scenes]:
    assert case.truth is not None
    return Course.of(case.frames), case.truth


@pytest.mark.parametrize("make", [rendered_case, foreign_case])
@pytest.mark.parametrize("motion", ["figure_eight", "zigzag", "sway"])
def test_a_path_is_found(motion: str, make) -> None:
    found, truth = of(make(motion, 1, 17, 128))
    assert away(found, truth) < 0.01
    assert not found.angle.any()
    assert (found.radius / found.radius.mean() - 1).abs().max() < 0.1


@pytest.mark.parametrize("make", [rendered_case, foreign_case])
def test_what_rests_for_half_of_the_clip_is_found_by_its_looks(make) -> None:
    found, truth = of(make("stop_and_go", 1, 33, 128, 1))
    assert away(found, truth) < 0.04


@pytest.mark.parametrize("make", [rendered_case, foreign_case])
def test_what_grows_in_its_place_is_found_by_its_looks(make) -> None:
    found, truth = of(make("grow", 1, 33, 128, 6))
    assert away(found, truth) < 0.04
    assert torch.corrcoef(torch.stack([found.radius, truth.radius[0]]))[0, 1] > 0.98
    assert not found.angle.any()


@pytest.mark.parametrize(("make", "look"), [(rendered_case, 6), (rendered_case, 7), (foreign_case, 6)])
def test_how_far_a_thing_turns_is_found(make, look: int) -> None:
    found, truth = of(make("spin", 1, 33, 128, look))
    wanted = truth.angle[0] - truth.angle[0, 0]
    assert away(found, truth) < 0.04
    assert abs(float(found.angle[-1] - wanted[-1])) < math.radians(20)
    assert (found.angle - wanted).abs().mean() < math.radians(12)


def clip(places: Tensor, height: int = 48, width: int = 80) -> Tensor:
    """A red disc of radius 6 at `[f, 2]` (x, y in pixels) before grey."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    frames = torch.full((len(places), height, width, 3), 110, dtype=torch.uint8)
    for frame, (across, down) in zip(frames, places, strict=True):
        frame[(x - across) ** 2 + (y - down) ** 2 < 36] = torch.tensor([220, 30, 30], dtype=torch.uint8)
    return frames


ACROSS = torch.stack([torch.linspace(10, 70, 9), torch.full((9,), 24.0)], dim=-1)


def test_units_are_halves_of_the_longer_side() -> None:
    found = Course.of(clip(ACROSS))
    assert torch.allclose(found.centre[:, 0], (ACROSS[:, 0] + 0.5 - 40) / 40, atol=0.02)
    assert found.centre[:, 1].abs().max() < 0.03
    assert found.radius.mean() == pytest.approx(6 / 40, abs=0.01)


def test_frames_without_the_thing_lie_between_their_neighbours() -> None:
    frames = clip(ACROSS)
    frames[4] = clip(ACROSS)[0, 0, 0]
    assert torch.allclose(Course.of(frames).centre, Course.of(clip(ACROSS)).centre, atol=0.02)


def test_a_mask_says_what_moves() -> None:
    mask = torch.zeros(9, 48, 80)
    for i in range(9):
        mask[i, 4 * i : 4 * i + 8, :8] = 1
    found = Course.of(clip(ACROSS), mask)
    assert found.centre[0].tolist() == pytest.approx([(4 - 40) / 40, (4 - 24) / 40], abs=1e-4)
    assert found.centre[-1, 1] == pytest.approx((36 - 24) / 40, abs=1e-4)


def test_what_cannot_be_followed_is_said() -> None:
    there = torch.stack([ACROSS[:, 0], torch.full((9,), 8.0)], dim=-1)
    two = torch.minimum(clip(there), clip(torch.stack([80 - ACROSS[:, 0], torch.full((9,), 40.0)], dim=-1)))
    for frames, mask, words in [
        (two, None, "two things move"),
        (clip(ACROSS), torch.zeros(9, 48, 80), "mask is black"),
        (clip(ACROSS), torch.ones(1, 48, 80), "a mask for every frame"),
        (clip(ACROSS), torch.zeros(1, 5, 5), "mask of what moves has the shape"),
        (clip(ACROSS[:1].repeat(9, 1)), None, "Nothing in the clip moves"),
    ]:
        with pytest.raises(MotionError, match=words):
            Course.of(frames, mask)


def test_a_picture_that_changes_everywhere_is_not_cut_out() -> None:
    frames = torch.randint(0, 255, (3, 16, 16, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    everywhere = torch.ones(3, 16, 16)
    assert torch.equal(cut_out(frames, everywhere), everywhere)


def test_cutting_out_is_repeatable() -> None:
    frames = rendered_case("stop_and_go", 1, 9, 64).frames
    changing = moving_mask(frames)
    assert torch.equal(cut_out(frames, changing), cut_out(frames, changing))


def test_without_opencv_a_sentence_says_so(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MotionError, match="OpenCV"):
        course.Course.of(rendered_case("stop_and_go", 1, 17, 64).frames)
