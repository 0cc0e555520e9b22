"""What every measure of motion must do: the truth against itself scores 1, played backwards low, unrelated motion near
0 on average, and another colour changes a score by less than 0.02."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import pytest
import torch
from torch import Tensor

from motion_lib.camera.measure import beside, camera_motion, camera_of_tracks
from motion_lib.camera.trackers import track
from motion_lib.metrics.camera import camera_error, true_camera
from motion_lib.metrics.captions import object_path
from motion_lib.metrics.fidelity import fidelity_of_tracks
from motion_lib.metrics.leak import sprite_regions
from motion_lib.metrics.paths import path_correlation
from motion_lib.metrics.pose import object_size, object_turn
from motion_lib.sprites import Scenes, Words
from motion_lib.sprites.motions import CAMERA_MOTIONS, MOTIONS, SEARCH_MOTIONS, reference

from .clips import clips

PATHS = (
    "figure_eight",
    "spiral",
    "zigzag",
    "bounce",
    "orbit",
    "stop_and_go",
    "eight_and_pan",
    *list(SEARCH_MOTIONS)[:2],
)


def scene(motion: str, colour: str = "red") -> Scenes:
    return reference(motion, Words("heart", colour, "grey", "checkered"), seed=3)


@lru_cache(maxsize=64)
def clip(motion: str, colour: str = "red") -> Tensor:
    return clips(scene(motion, colour))[0]


def path_score(motion: str, frames: Tensor) -> float:
    return path_correlation(object_path(frames).points, scene(motion).position[0])


def size_score(motion: str, frames: Tensor) -> float:
    return path_correlation(object_size(frames)[:, None], scene(motion).radius[0].log()[:, None])


def turn_score(motion: str, frames: Tensor) -> float:
    return path_correlation(object_turn(frames)[:, None], scene(motion).angle[0][:, None])


def camera_score(motion: str, frames: Tensor) -> float:
    return camera_error(camera_motion(frames), true_camera(scene(motion), 0)).correlation


def fidelity_score(motion: str, frames: Tensor) -> float:
    return fidelity_of_tracks(track(clip(motion)), track(frames)).score


CASES: list[tuple[Callable[[str, Tensor], float], tuple[str, ...]]] = [
    (path_score, PATHS),
    (size_score, ("grow",)),
    (turn_score, ("spin",)),
    (camera_score, (*CAMERA_MOTIONS, "eight_and_pan", "slow_diagonal_pan")),
    (fidelity_score, tuple(MOTIONS)),
]


@pytest.mark.parametrize(("score", "motions"), CASES)
def test_truth_and_colour(score: Callable[[str, Tensor], float], motions: tuple[str, ...]) -> None:
    own = torch.tensor([score(motion, clip(motion)) for motion in motions])
    assert own.min() > 0.99
    for colour in ("blue", "yellow"):
        change = (own - torch.tensor([score(motion, clip(motion, colour)) for motion in motions])).abs()
        assert change.mean() < 0.02
        # The tracks of a spinning object are few, and where its corners are seen differs with the colours.
        kept = [i for i, motion in enumerate(motions) if score is not fidelity_score or motion != "spin"]
        assert change[kept].max() < 0.02 and change.max() < 0.15


@pytest.mark.parametrize(("score", "motions"), CASES)
def test_backwards_scores_low(score: Callable[[str, Tensor], float], motions: tuple[str, ...]) -> None:
    values = torch.tensor([score(motion, clip(motion).flip(0)) for motion in motions])
    # Not every motion differs from itself backwards: what grows shrinks, but its points move on the same lines, and a
    # bounce goes up and down either way.
    assert values.mean() < (0.25 if score is fidelity_score else 0.0)
    if score is not fidelity_score:
        assert values.max() < 0.5


@pytest.mark.parametrize(("score", "motions"), [case for case in CASES if len(case[1]) > 3])
def test_unrelated_motions_score_near_zero(score: Callable[[str, Tensor], float], motions: tuple[str, ...]) -> None:
    values = [score(a, clip(b)) for a in motions[:6] for b in motions[:6] if a != b]
    known = torch.tensor(values)[~torch.tensor(values).isnan()]
    assert len(known) > 0.8 * len(values)
    assert known.mean().abs() < (0.3 if score is fidelity_score else 0.25)


def test_an_object_at_rest_does_not_slow_a_zoom() -> None:
    frames, truth = clip("zoom"), true_camera(scene("zoom"), 0)
    tracks = track(frames)
    hidden = beside(tracks, sprite_regions(frames)["object"])
    motion = float(truth.displacements().square().sum(dim=-1).mean().sqrt())
    assert camera_error(camera_of_tracks(hidden), truth).error / motion < 0.05
    assert hidden.visible.sum() < tracks.visible.sum() and torch.equal(hidden.points, tracks.points)


def test_a_repeating_texture_is_followed_by_the_shorter_step() -> None:
    """Dots in a grid: a step of one period to the right less the pan fits as well as the pan to the left."""
    dotted = reference("eight_and_pan", Words("heart", "purple", "beige", "dotted"), seed=3)
    for phase in (0.0, 0.25, 0.5):
        moved = replace(dotted, phase=dotted.phase + phase)
        found = camera_motion(clips(moved)[0])
        result = camera_error(found, true_camera(moved, 0))
        assert result.steps >= 12 and result.error < 0.01
