"""Reference clips and their prompts."""

from __future__ import annotations

import pytest
import torch

from motion_lib.benchmark.cases import SHOW_THE_CAMERA, clip_cases, rendered_case
from motion_lib.errors import MotionError
from motion_lib.sprites import SYMMETRY, parse_caption
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
