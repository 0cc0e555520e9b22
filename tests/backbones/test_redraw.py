"""A clip that the model draws again: what moves stays where it was, and looks that the model does not know go."""

from __future__ import annotations

import pytest
import torch

from motion_lib.backbones import VideoModel, load_model
from motion_lib.benchmark.cases import foreign_case
from motion_lib.codes.from_clip import reader_of
from motion_lib.errors import MotionError
from motion_lib.metrics.paths import path_correlation
from motion_lib.video.look import REDRAWN, in_look


@pytest.fixture(scope="module")
def model() -> VideoModel:
    return load_model("sprite_t2v")


def test_a_foreign_clip_comes_back_in_a_known_look(model: VideoModel) -> None:
    """Under a moving camera, where no background can be told from what moves."""
    case, reader = foreign_case("eight_and_pan", 1, look=4), reader_of(None)
    assert case.truth is not None
    drawn = in_look(case.frames, REDRAWN, redraw=model.redraw)
    assert drawn.shape == case.frames.shape and drawn.dtype == torch.uint8
    before, after = reader.read(case.frames), reader.read(drawn)
    assert before.warning and not after.warning
    paths = [path_correlation(each.path, case.truth.position[0]) for each in (before, after)]
    assert paths[0] < 0.5 and paths[1] > 0.95


def test_the_seed_decides_and_the_level_changes(model: VideoModel) -> None:
    frames = foreign_case("orbit", 1, frames=4, size=32).frames
    first = model.redraw(frames)
    assert torch.equal(first, model.redraw(frames)) and not torch.equal(first, model.redraw(frames, seed=1))
    error = [float((model.redraw(frames, level).float() - frames.float()).abs().mean()) for level in (0.05, 0.9)]
    assert error[0] < error[1]


@pytest.mark.parametrize("level", [0.0, 1.1, float("nan")])
def test_a_level_is_a_share(model: VideoModel, level: float) -> None:
    with pytest.raises(MotionError, match="the share of noise must be above 0"):
        model.redraw(torch.zeros(2, 32, 32, 3, dtype=torch.uint8), level)


def test_without_a_model_it_is_no_look() -> None:
    with pytest.raises(MotionError, match="look is 'redrawn', but it must be one of as_it_is"):
        in_look(torch.zeros(2, 32, 32, 3, dtype=torch.uint8), REDRAWN)
