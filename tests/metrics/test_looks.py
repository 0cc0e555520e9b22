"""Measures of how a clip looks: captions, object path, leak, warp error."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from motion_lib.errors import MotionError
from motion_lib.metrics.captions import caption_accuracy, object_path
from motion_lib.metrics.consistency import warp_error
from motion_lib.metrics.leak import appearance_leak, sprite_regions
from motion_lib.metrics.paths import path_correlation
from motion_lib.sprites import COLOURS, TONES, Scenes, caption

from .clips import clips, noise, scenes


@pytest.fixture(scope="module")
def world() -> tuple[Scenes, list[Tensor]]:
    truth = scenes(8, 31)
    return truth, clips(truth)


def test_true_captions_are_right(world: tuple[Scenes, list[Tensor]]) -> None:
    truth, frames = world
    results = [caption_accuracy(clip, caption(truth.words(i))) for i, clip in enumerate(frames)]
    assert sum(r.score for r in results) / len(results) > 0.95
    assert sum(r.over_frames["shape"] for r in results) / len(results) > 0.9


def test_each_wrong_word_costs_its_own_kind(world: tuple[Scenes, list[Tensor]]) -> None:
    truth, frames = world
    right = truth.words(0)
    assert caption_accuracy(frames[0], caption(right)).score == 1
    other = {"shape": "cross", "colour": "green", "tone": "navy", "texture": "striped"}
    for kind, word in other.items():
        assert getattr(right, kind) != word
        result = caption_accuracy(frames[0], caption(replace(right, **{kind: word})))
        assert [k for k, ok in result.middle_frame.items() if not ok] == [kind]
        assert result.over_frames[kind] < 0.2 and result.score == 0.75


def test_what_the_prompt_leaves_open_is_not_judged(world: tuple[Scenes, list[Tensor]]) -> None:
    truth, frames = world
    assert set(caption_accuracy(frames[0], f"a {truth.words(0).colour} thing").middle_frame) == {"colour"}
    assert math.isnan(caption_accuracy(frames[0], "a dog").score)


def test_share_over_frames_counts_frames(world: tuple[Scenes, list[Tensor]]) -> None:
    truth, frames = world
    mixed = frames[0].clone()
    mixed[:4] = 128  # no object in a quarter of the frames
    assert caption_accuracy(mixed, truth.words(0).colour or "").over_frames["colour"] == 0.75


def test_path_is_the_true_one_and_gaps_are_bridged() -> None:
    truth = scenes(1, 41)
    truth.shape[:], truth.radius[:] = 1, 0.2
    truth.position[0] = torch.linspace(-0.6, 0.6, 16)[:, None].expand(-1, 2)
    frames = clips(truth)[0]
    whole = object_path(frames)
    assert whole.missing == 0 and (whole.points - truth.position[0]).abs().max() < 0.02
    frames[[0, 5, 6, 15]] = 128
    bridged = object_path(frames)
    assert bridged.missing == 4 and not bridged.points.isnan().any()
    assert (bridged.points - truth.position[0])[1:15].abs().max() < 0.02
    assert torch.equal(bridged.points[0], bridged.points[1]) and torch.equal(bridged.points[15], bridged.points[14])
    assert path_correlation(bridged.points, truth.position[0]) > 0.99
    nothing = object_path(torch.full_like(frames, 128))
    assert nothing.missing == 16 and nothing.points.isnan().all()


def test_blending_with_the_reference_gives_exactly_its_share() -> None:
    reference, plain = noise(1) // 4, 150 + noise(2) // 4
    mean = reference.double().mean(dim=(0, 1, 2))
    for share in (0.0, 0.3, 1.0):
        blended = ((1 - share) * plain.double() + share * mean).round().byte()
        assert appearance_leak(reference, blended, plain).score == pytest.approx(share, abs=0.005)
    away = plain + 20
    result = appearance_leak(reference, away, plain)
    assert result.shifts["frame"] < -0.05 and result.score == 0


def painted(shape: int, colour: str, tone: str) -> Scenes:
    truth = scenes(1, 51)
    truth.shape[:], truth.texture[:], truth.light[:] = shape, 0, 1
    truth.colour[:], truth.tone[:] = list(COLOURS).index(colour), list(TONES).index(tone)
    return truth


def test_leak_is_told_apart_for_object_and_background() -> None:
    reference, plain = (clips(painted(*words))[0] for words in ((1, "orange", "navy"), (0, "blue", "white")))
    orange = clips(painted(0, "orange", "white"))[0]
    navy = clips(painted(0, "blue", "navy"))[0]
    for output, expected in ((plain, (0, 0)), (orange, (1, 0)), (navy, (0, 1)), (reference, (1, 1))):
        shifts = appearance_leak(reference, output, plain, sprite_regions).shifts
        assert (shifts["object"], shifts["background"]) == pytest.approx(expected, abs=0.06)


def test_leak_that_cannot_be_seen_has_no_score() -> None:
    plain = clips(painted(0, "blue", "white"))[0]
    assert math.isnan(appearance_leak(plain, plain, plain, sprite_regions).score)
    grey = torch.full_like(plain, 128)
    shifts = appearance_leak(clips(painted(0, "red", "navy"))[0], grey, plain, sprite_regions).shifts
    assert math.isnan(shifts["object"]) and not math.isnan(shifts["background"])


def test_warp_error_follows_motion_and_sees_flicker(world: tuple[Scenes, list[Tensor]]) -> None:
    moving = world[1][0]
    smooth = warp_error(moving)
    flicker = moving.clone()
    flicker[::2] = (flicker[::2] * 0.8).byte()
    assert warp_error(flicker).error > 5 * smooth.error and smooth.visible > 0.7
    unaligned = float(((moving[1:].float() - moving[:-1].float()) / 255).square().sum(-1).mean())
    assert smooth.error < 0.5 * unaligned, "the flow explains most of what changes"


def test_warp_error_grows_with_noise() -> None:
    still = clips(scenes(1, 61))[0][:1].expand(6, -1, -1, -1)
    assert warp_error(still).error < 1e-6
    generator, errors = torch.Generator().manual_seed(0), []
    for strength in (3, 9, 27):
        rough = still + strength * torch.randn(still.shape, generator=generator)
        errors.append(warp_error(rough.clamp(0, 255).byte()).error)
    assert 1e-6 < errors[0] < errors[1] < errors[2]


def test_bad_clips_are_refused() -> None:
    clip = noise(0)
    for measure in (
        warp_error,
        object_path,
        lambda c: caption_accuracy(c, ""),
        lambda c: appearance_leak(clip, c, clip),
    ):
        with pytest.raises(MotionError, match="need uint8"):
            measure(clip.float())
    with pytest.raises(MotionError, match="needs at least 2"):
        warp_error(clip[:1])
