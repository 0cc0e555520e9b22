"""Reference clips and their prompts."""

from __future__ import annotations

import pytest
import torch

from motion_lib.benchmark.cases import SHOW_THE_CAMERA, clip_cases, crossed_case, foreign_case, rendered_case
from motion_lib.benchmark.pictures import answer, with_pictures
from motion_lib.errors import MotionError
from motion_lib.metrics.captions import object_path
from motion_lib.sprites import SYMMETRY, Words, parse_caption
from motion_lib.sprites.motions import CAMERA_MOTIONS, MOTIONS, SEARCH_MOTIONS

KINDS = ("shape", "colour", "tone", "texture")
ALL = [*MOTIONS, *SEARCH_MOTIONS]


@pytest.mark.parametrize("motion", ALL)
@pytest.mark.parametrize("look", [0, 1])
def test_prompts_share_nothing_with_their_reference(motion: str, look: int) -> None:
    case = rendered_case(motion, prompts=4, frames=3, size=16, look=look)
    own = parse_caption(case.prompt)
    assert case.truth is not None and case.truth.words(0) == own and case.frames.shape == (3, 16, 16, 3)
    for prompt in case.prompts:
        words = parse_caption(prompt)
        assert all(getattr(words, kind) not in (None, getattr(own, kind)) for kind in KINDS)
        if motion in CAMERA_MOTIONS or "pan" in motion:
            assert {words.texture, own.texture} <= set(SHOW_THE_CAMERA)
        if motion == "spin":
            assert {words.shape, own.shape} <= set(SYMMETRY)
    assert len(set(case.prompts)) == 4


def test_cases_are_reproducible_and_differ_in_look() -> None:
    a, b, other = (rendered_case("orbit", 2, look=look) for look in (0, 0, 1))
    assert torch.equal(a.frames, b.frames) and a.prompts == b.prompts and a.prompts != other.prompts
    looks = {rendered_case(motion, 1, frames=2, size=16).prompt for motion in ALL}
    assert len(looks) == len(ALL)


def test_every_video_has_its_own_seed() -> None:
    cases = [rendered_case(motion, 3, frames=2, size=16) for motion in ALL]
    seeds = {case.seed(prompt, seed) for case in cases for prompt in range(3) for seed in range(4)}
    assert len(seeds) == len(ALL) * 12


def test_the_motions_to_search_on_are_not_those_of_the_test() -> None:
    assert len(MOTIONS) == 13 and not MOTIONS.keys() & SEARCH_MOTIONS.keys()


def test_a_crossed_case_shows_the_object_of_one_and_the_camera_of_the_other() -> None:
    case = crossed_case("figure_eight", "pan", 2, frames=4, size=32)
    own, other = case.parts
    assert case.truth is not None and own.truth is not None and other.truth is not None
    assert torch.equal(case.truth.position, own.truth.position) and torch.equal(case.truth.camera, other.truth.camera)
    assert case.prompt == other.prompt and case.prompts == other.prompts
    assert not torch.equal(case.frames, own.frames) and not torch.equal(case.frames, other.frames)


def test_ones_own_clips_have_no_truth() -> None:
    (case,) = clip_cases([("dance", torch.zeros(4, 8, 8, 3, dtype=torch.uint8), "a man")], ["a robot", "a bear"])
    assert case.truth is None and case.prompts == ("a robot", "a bear") and case.name == "dance"


def test_clips_are_told_apart_by_name() -> None:
    clip = ("dance", torch.zeros(4, 8, 8, 3, dtype=torch.uint8), "a man")
    with pytest.raises(MotionError, match="same name"):
        clip_cases([clip, clip], ["a robot"])


def test_bad_wishes_are_explained() -> None:
    with pytest.raises(MotionError, match="no motion 'walk': choose from figure_eight"):
        rendered_case("walk", 1)
    with pytest.raises(MotionError, match="prompts is 0"):
        rendered_case("pan", 0)


@pytest.mark.parametrize("motion", ["orbit", "spin", "pan"])
def test_a_foreign_reference_moves_the_same_in_another_look(motion: str) -> None:
    own, foreign = (make(motion, 2, frames=4, size=64) for make in (rendered_case, foreign_case))
    assert (foreign.name, foreign.prompts, foreign.seed(0, 1)) == (own.name, own.prompts, own.seed(0, 1))
    assert foreign.truth is not None and torch.equal(foreign.truth.position, own.truth.position)
    assert foreign.foreign and not own.foreign and parse_caption(foreign.prompt).colour is None
    colours = [case.frames.float().mean(dim=(0, 1, 2)) for case in (own, foreign)]
    assert float((colours[0] - colours[1]).abs().max()) > 5
    assert (foreign.frames[0] != foreign.frames[1]).any()


def test_a_clip_in_a_plain_look_says_what_is_then_seen() -> None:
    case = rendered_case("orbit", 1, frames=6, size=64)
    own, flat = parse_caption(case.prompt), case.in_look("flat_object")
    assert parse_caption(flat.prompt) == Words(own.shape, "red", "grey", "plain")
    assert parse_caption(case.in_look("neutral_background").prompt) == Words(own.shape, own.colour, "grey", "plain")
    assert float((flat.frames[:, :2, :2].float() - 128).abs().max()) <= 1
    assert case.in_look("as_it_is") is case
    with pytest.raises(MotionError, match="look is 'none'"):
        case.in_look("none")


def test_a_clip_without_a_background_is_taken_as_it_is() -> None:
    frames = torch.randint(0, 255, (6, 64, 64, 3), generator=torch.Generator().manual_seed(0)).byte()
    (case,) = clip_cases([("noise", frames, "noise")], ["a robot"])
    assert case.in_look("flat_object") is case
    assert case.stand_ins() == [case]


def test_what_stands_in_for_a_clip_says_what_it_shows() -> None:
    case = rendered_case("zigzag", prompts=1, frames=5, size=64)
    made = case.stand_ins()
    assert len(made) == 8 and all(each.truth is case.truth and each.prompts == case.prompts for each in made)
    assert all("plain background" in each.prompt and not torch.equal(each.frames, case.frames) for each in made)


@pytest.mark.parametrize("motion", ["sway", "hook", "figure_eight"])
def test_far_pictures_have_their_object_a_quarter_away_and_it_stays_in_sight(motion: str) -> None:
    usual = rendered_case(motion, 4, frames=9, size=64)
    case = with_pictures(usual, "far")
    assert case.truth is not None and usual.truth is not None and not torch.equal(case.frames, usual.frames)
    extents = [
        float((each.position[0] - each.position[0].mean(dim=0)).abs().max()) for each in (case.truth, usual.truth)
    ]
    assert extents[0] == pytest.approx(0.45 * extents[1], abs=1e-6)
    assert float((object_path(case.frames).points - case.truth.position[0]).abs().max()) < 0.1
    for prompt, start in zip(case.prompts, case.starts, strict=True):
        (video,) = answer(case, [prompt], [7])
        expected = case.truth.position[0] + torch.tensor(start.offset)
        assert float((object_path(video).points - expected).abs().max()) < 0.1
        assert max(map(abs, start.offset)) >= 0.5 and float(expected.abs().max()) < 0.75


def test_pictures_show_their_prompts_elsewhere_and_the_answer_begins_with_them() -> None:
    case = with_pictures(rendered_case("orbit", 3, frames=5, size=64))
    for prompt, picture, start in zip(case.prompts, case.pictures, case.starts, strict=True):
        (video,) = answer(case, [prompt], [7])
        assert torch.equal(video[0], picture) and picture.shape == (64, 64, 3)
        found = object_path(video)
        assert case.truth is not None
        expected = case.truth.position[0] + torch.tensor(start.offset)
        assert float((found.points - expected).abs().max()) < 0.1
        assert 0.75 <= start.scale <= 1.3 and float(expected.abs().max()) < 0.8
    assert len(set(case.starts)) == 3
    with pytest.raises(MotionError, match="foreign looks"):
        with_pictures(foreign_case("orbit", 1, frames=5, size=64), "far")
    with pytest.raises(MotionError, match="no pictures can be drawn"):
        with_pictures(clip_cases([("own", case.frames, "a dog")], ["a cat"])[0])
