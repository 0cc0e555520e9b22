"""Judging videos whose every answer is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from motion_lib.benchmark.cases import Case, as_frames, clip_cases, rendered_case
from motion_lib.benchmark.scores import COLUMNS, Judge
from motion_lib.sprites import parse_caption, render
from motion_lib.sprites.motions import reference

GREY = torch.full((16, 128, 128, 3), 128, dtype=torch.uint8)


def answer(case: Case, prompt: int = 0, motion: str | None = None) -> Tensor:
    scenes = reference(motion or case.name, parse_caption(case.prompts[prompt]), seed=case.seed(prompt, 0))
    return as_frames(render(scenes)[0])


@pytest.mark.parametrize(
    ("motion", "measured"),
    [
        ("figure_eight", {"path", "path_error", "speed_error"}),
        ("grow", {"size", "size_error"}),
        ("spin", {"turn", "turn_error"}),
        ("zoom", {"camera", "camera_error"}),
        ("eight_and_pan", {"path", "path_error", "speed_error", "camera", "camera_error"}),
    ],
)
def test_the_right_answer_is_right_and_a_grey_video_counts_as_no_motion(motion: str, measured: set[str]) -> None:
    case = rendered_case(motion, 1)
    judge, right = Judge(case), answer(case)
    scores = judge(case.prompts[0], right, right)
    everywhere = {"fidelity", "leak", "caption", "shape", "colour", "tone", "texture", "caption_all", "warp"}
    assert scores.keys() - everywhere == measured and everywhere <= scores.keys() <= COLUMNS.keys()
    for name in measured:
        assert scores[name] == pytest.approx(0, abs=0.05) if name.endswith("error") else scores[name] > 0.99
    assert scores["caption"] == scores["caption_all"] == 1 and scores["leak"] == 0
    nothing = judge(case.prompts[0], GREY, right)
    for name in measured:
        assert nothing[name] == (1 if name.endswith("error") else 0)
    assert nothing["fidelity"] == 0 and nothing["shape"] == 0


def test_what_leaks_is_told_by_the_video_without_motion() -> None:
    case = rendered_case("orbit", 1)
    judge, right = Judge(case), answer(case)
    half = ((right.float() + case.frames.float()) / 2).round().byte()
    assert judge(case.prompts[0], half, right)["leak"] > 0.2 > judge(case.prompts[0], right, right)["leak"]


def test_another_motion_scores_low() -> None:
    case = rendered_case("figure_eight", 1)
    other = answer(case, motion="stop_and_go")
    scores = Judge(case)(case.prompts[0], other, other)
    assert scores["path"] < 0.5 and scores["path_error"] > 0.7 and scores["fidelity"] < 0.6 and scores["caption"] == 1


def test_a_clip_of_ones_own_is_compared_with_itself() -> None:
    rendered = rendered_case("pan", 1)
    (case,) = clip_cases([("own", rendered.frames, "something")], ["a robot"])
    red = GREY * torch.tensor([1, 0, 0], dtype=torch.uint8)
    scores = Judge(case)("a robot", rendered.frames, red)
    assert scores["camera"] > 0.99 and scores["camera_error"] < 0.01 and scores["fidelity"] > 0.99
    assert "caption" not in scores and "path" not in scores and scores["leak"] == pytest.approx(1)
    still = clip_cases([("still", rendered.frames[:1].expand(16, -1, -1, -1), "")], ["a robot"])[0]
    assert Judge(still)("a robot", rendered.frames, red).keys() == {"leak", "warp"}
    assert replace(case, name="x").seed(0, 0) != case.seed(0, 0)
