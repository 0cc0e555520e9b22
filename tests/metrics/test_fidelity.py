"""Motion fidelity: exact on tracks made by hand, and measured on rendered clips whose motion is known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from motion_lib.camera.trackers import track
from motion_lib.camera.tracks import Tracks
from motion_lib.errors import MotionError
from motion_lib.metrics.fidelity import fidelity_of_tracks, motion_fidelity

from .clips import clips, scenes

ROOT = math.sqrt(0.5)


def by_hand(*steps: list[tuple[float, float]], start: float = 50.0) -> Tracks:
    points = torch.stack([torch.cat([torch.full((1, 2), start), start + torch.tensor(s).cumsum(0)]) for s in steps])
    return Tracks(points, torch.ones(points.shape[:2], dtype=torch.bool), (100, 100))


RIGHT, LEFT, DOWN, STILL = ([(x, y)] * 6 for x, y in ((5.0, 0.0), (-5.0, 0.0), (0.0, 5.0), (0.0, 0.0)))
DIAGONAL = [(3.0, 3.0)] * 6


@pytest.mark.parametrize(
    ("a", "b", "score"),
    [
        ([RIGHT], [RIGHT], 1.0),
        ([RIGHT], [LEFT], -1.0),
        ([RIGHT], [DOWN], 0.0),
        ([RIGHT], [DIAGONAL], ROOT),
        ([RIGHT, DOWN], [RIGHT], 0.75),  # ½ · [1 + mean(1, 0)]
        ([RIGHT, DOWN], [DIAGONAL], ROOT),
        ([RIGHT, STILL], [STILL, RIGHT], 1.0),
        ([RIGHT], [RIGHT[:3] + STILL[:3]], 0.5),  # half of the steps have no direction in common
        ([RIGHT[:3] + STILL[:3]], [RIGHT[:3] + STILL[:3]], 1.0),  # standing still together takes nothing away
    ],
)
def test_score_of_known_tracks(a: list, b: list, score: float) -> None:
    assert fidelity_of_tracks(by_hand(*a), by_hand(*b)).score == pytest.approx(score, abs=1e-6)
    assert fidelity_of_tracks(by_hand(*b), by_hand(*a)).score == pytest.approx(score, abs=1e-6)


def test_counts_say_what_was_left_out() -> None:
    result = fidelity_of_tracks(by_hand(RIGHT, DOWN, STILL), by_hand(RIGHT, STILL, STILL))
    assert (result.moving_reference, result.moving_output) == (2, 1)
    assert (result.still_reference, result.still_output, result.unmatched) == (1, 2, 0)


def test_size_and_place_do_not_matter_but_noise_below_a_hundredth_does_not_count_as_motion() -> None:
    small, large = by_hand(DIAGONAL), by_hand(DIAGONAL)
    large = Tracks(large.points * 7 + 30, large.visible, (700, 700))
    assert fidelity_of_tracks(small, large).score == pytest.approx(1)
    trembling = by_hand([(0.5, 0.0), (-0.5, 0.0)] * 3)
    assert math.isnan(fidelity_of_tracks(trembling, trembling).score)


def test_hidden_points_are_not_compared() -> None:
    a, b = by_hand(RIGHT), by_hand(RIGHT[:4] + LEFT[:2])
    b.visible[0, 5:] = False
    assert fidelity_of_tracks(a, b).score == pytest.approx(1)
    b.visible[0, 3:] = False  # two of six steps are too few
    result = fidelity_of_tracks(a, b)
    assert math.isnan(result.score) and result.unmatched == 2


def test_motion_against_none_has_no_score() -> None:
    for a, b in ((RIGHT, STILL), (STILL, RIGHT), (STILL, STILL)):
        assert math.isnan(fidelity_of_tracks(by_hand(a), by_hand(b)).score)
    empty = Tracks(torch.empty(0, 7, 2), torch.empty(0, 7, dtype=torch.bool), (100, 100))
    result = fidelity_of_tracks(by_hand(RIGHT), empty)
    assert math.isnan(result.score) and (result.moving_reference, result.moving_output) == (1, 0)


class Rendered(NamedTuple):
    frames: list[Tensor]
    tracks: list[Tracks]
    recoloured: list[Tracks]
    other_shape: list[Tracks]


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    truth = scenes(10, 7)
    frames = clips(truth)
    recoloured = clips(replace(truth, colour=(truth.colour + 3) % 7))
    other_shape = clips(replace(truth, shape=(truth.shape + 3) % 8))
    return Rendered(frames, *([track(c) for c in part] for part in (frames, recoloured, other_shape)))


def scores(a: list[Tracks], b: list[Tracks]) -> Tensor:
    values = torch.tensor([fidelity_of_tracks(x, y).score for x, y in zip(a, b, strict=True)])
    assert values.isnan().sum() <= 2, "most random clips move"
    return values[~values.isnan()]


def test_a_clip_against_itself(rendered: Rendered) -> None:
    assert scores(rendered.tracks, rendered.tracks).min() >= 0.99


def test_look_hardly_matters(rendered: Rendered) -> None:
    # What is left is the tracker's: corners of another shape sit elsewhere, and its edges drag other background along.
    colour, shape = (scores(rendered.tracks, other) for other in (rendered.recoloured, rendered.other_shape))
    assert colour.median() > 0.98 and colour.mean() > 0.97
    assert shape.median() > 0.97 and shape.mean() > 0.93


def test_reversed_and_unrelated_motion_scores_low(rendered: Rendered) -> None:
    backwards = [Tracks(t.points.flip(1), t.visible.flip(1), t.size) for t in rendered.tracks]
    unrelated = scores(rendered.tracks, rendered.tracks[1:] + rendered.tracks[:1])
    # Above 0 on average: the best of many tracks is taken, and with a moving camera there are many kinds.
    assert -0.2 < unrelated.mean() < 0.45
    assert scores(rendered.tracks, backwards).mean() < 0.4


def test_frames_give_what_their_tracks_give(rendered: Rendered) -> None:
    a, b = rendered.frames[0], rendered.frames[1]
    assert motion_fidelity(a, b) == fidelity_of_tracks(rendered.tracks[0], rendered.tracks[1])


def test_still_clips_have_no_score(rendered: Rendered) -> None:
    still = rendered.frames[0][:1].expand(16, -1, -1, -1)
    result = motion_fidelity(still, still)
    assert math.isnan(result.score) and result.moving_reference == 0 and result.still_reference > 0


def test_bad_clips_are_refused(rendered: Rendered) -> None:
    clip = rendered.frames[0]
    for other, sentence in (
        (clip[:8], "16 frames and the output has 8"),
        (clip.float(), "need uint8"),
        (clip.permute(0, 3, 1, 2), "need uint8"),
        (clip[:, :8], "at least 16 on each side"),
    ):
        with pytest.raises(MotionError, match=sentence):
            motion_fidelity(clip, other)
    with pytest.raises(MotionError, match="needs at least 2"):
        motion_fidelity(clip[:1], clip[:1])
    with pytest.raises(MotionError, match="tracker is 'raft', but it must be one of lucas_kanade, cotracker:FILE"):
        motion_fidelity(clip, clip, "raft")
