"""The clip check: cuts between scenes, but not pans, flashes or fast objects; stillness; repeated frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from motion_lib.video import ClipReport, check_clip, read_clip, write_video
from motion_lib.video.check import REACH, find_cuts, listed, unexplained

SIZE = 96


def scene(seed: int, height: int = SIZE, width: int = 3 * SIZE, detail: int = 12) -> torch.Tensor:
    """uint8 `[h, w, 3]`: a smooth random picture, wide enough to pan over."""
    noise = torch.rand(1, 3, height // detail, width // detail, generator=torch.Generator().manual_seed(seed))
    picture = F.interpolate(noise, (height, width), mode="bicubic")[0].clamp(0, 1)
    return picture.mul(255).round().byte().permute(1, 2, 0)


def pan(seed: int, count: int, speed: int = 3) -> torch.Tensor:
    """uint8 `[f, h, w, 3]`: a camera that moves `speed` pixels per frame over a scene."""
    picture = scene(seed)
    return torch.stack([picture[:, index * speed : index * speed + SIZE] for index in range(count)])


def with_noise(frames: torch.Tensor, levels: float, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(frames.shape, generator=torch.Generator().manual_seed(seed)) * levels
    return (frames + noise).round().clamp(0, 255).byte()


# Cuts


def test_one_cut() -> None:
    report = check_clip(torch.cat((pan(1, 10), pan(2, 14))))
    assert report == ClipReport(cuts=(10,), static=False, duplicates=(), motion=report.motion)
    assert report.warnings() == (
        "The clip has a cut at frame 10 (counting from 0): motion would be learned across it; use skip_first_frames "
        "and frame_load_cap to stay on one side.",
    )


def test_cuts_at_both_ends_and_close_together() -> None:
    parts = [pan(1, 1), pan(2, 9), pan(3, 3), pan(4, 10), pan(5, 1)]
    assert check_clip(torch.cat(parts)).cuts == (1, 10, 13, 23)


def test_cut_survives_compression_and_noise(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", with_noise(torch.cat((pan(1, 12), pan(2, 12))), 6), 8)
    assert check_clip(read_clip(tmp_path / "a.mp4").frames).cuts == (12,)


def test_cut_among_repeated_frames() -> None:
    frames = torch.cat((pan(1, 6), pan(2, 6))).repeat_interleave(3, 0)
    report = check_clip(frames)
    assert report.cuts == (18,) and report.duplicates == tuple(index for index in range(36) if index % 3)


@pytest.mark.parametrize("speed", [1, 4, 8, 14])
def test_pan_is_no_cut(speed: int) -> None:
    assert check_clip(pan(1, 12, speed)).cuts == ()


def test_pan_that_starts_at_once_is_no_cut() -> None:
    assert check_clip(torch.cat((pan(1, 1).repeat(8, 1, 1, 1), pan(1, 12, 12)))).cuts == ()


def test_fast_object_is_no_cut() -> None:
    frames = pan(1, 1).repeat(12, 1, 1, 1)
    for index in range(3, 9):
        frames[index, 10:80, 16 * (index - 3) : 16 * (index - 3) + 40] = torch.tensor([250, 20, 20], dtype=torch.uint8)
    assert check_clip(frames).cuts == ()


def test_flash_of_one_frame_is_no_cut() -> None:
    frames = pan(1, 16)
    frames[7] = 255
    assert check_clip(frames).cuts == ()


def test_slow_dissolve_is_no_cut() -> None:
    share = torch.linspace(0, 1, 24)[:, None, None, None]
    assert check_clip((pan(1, 24) * (1 - share) + pan(2, 24) * share).byte()).cuts == ()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 10), st.integers(0, 6))
def test_cut_is_found_wherever_it_is(seed: int, place: int, speed: int) -> None:
    frames = torch.cat((pan(seed, place, speed), pan(seed + 2000, 12 - place, speed)))
    assert check_clip(frames).cuts == (place,)


def test_unexplained_is_nothing_within_reach_and_something_beyond() -> None:
    picture = np.random.default_rng(0).random((1, 3, 24, 48), np.float32)

    def moved(x: int) -> np.ndarray:
        return np.roll(np.pad(picture, ((0, 0), (0, 0), (12, 12), (12, 12))), x, axis=-1)

    assert unexplained(moved(0), moved(REACH)) == unexplained(moved(REACH), moved(0)) == 0
    assert unexplained(moved(0), moved(REACH + 1)) > 0.05
    assert unexplained(1 - picture, picture) > 0.1


def test_too_short_for_a_cut() -> None:
    assert find_cuts(np.zeros((1, 3, 36, 36))) == [] and find_cuts(np.zeros((0, 3, 36, 36))) == []


# Stillness


@pytest.mark.parametrize("levels", [0, 3])
def test_still_clip(levels: float) -> None:
    report = check_clip(with_noise(pan(1, 1).repeat(12, 1, 1, 1), levels))
    assert report.static and report.cuts == ()
    assert report.warnings() == ("Nothing moves in the clip: there is no motion to learn; choose one that moves.",)


def test_still_clip_after_compression(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", with_noise(pan(1, 1).repeat(16, 1, 1, 1), 2), 8)
    assert check_clip(read_clip(tmp_path / "a.mp4").frames).static


def test_one_frame_is_still() -> None:
    assert check_clip(pan(1, 1)) == ClipReport(cuts=(), static=True, duplicates=(), motion=0.0)


def test_small_object_is_motion() -> None:
    frames = torch.full((12, 256, 256, 3), 90, dtype=torch.uint8)
    for index in range(12):
        frames[index, 100:106, 20 + index : 26 + index] = 220
    report = check_clip(frames)
    assert not report.static and report.duplicates == ()


def test_drift_too_slow_for_two_frames_is_motion() -> None:
    frames = torch.stack([(scene(1)[:, :SIZE] * (0.6 + index / 400)).byte() for index in range(40)])
    assert not check_clip(frames).static


# Repeated frames and the amount of motion


def test_repeated_frames(tmp_path: Path) -> None:
    frames = pan(1, 20)
    for index in (5, 11, 17):
        frames[index] = frames[index - 1]
    assert check_clip(frames).duplicates == (5, 11, 17)
    write_video(tmp_path / "a.mp4", frames, 25)
    report = check_clip(read_clip(tmp_path / "a.mp4").frames)
    assert report.duplicates == (5, 11, 17)
    assert report.warnings() == (
        "Frames 5, 11 and 17 repeat the frame before (counting from 0): the motion stops there; a lower force_rate or "
        "select_every_nth can leave such frames out.",
    )


def test_motion_is_the_mean_difference() -> None:
    levels = torch.tensor([0, 51, 51, 0], dtype=torch.uint8)
    frames = levels[:, None, None, None].expand(4, 16, 16, 3)
    assert check_clip(frames).motion == pytest.approx((0.2 + 0 + 0.2) / 3)


@pytest.mark.parametrize("size", [(4, 4), (5, 90), (67, 101)])
def test_any_size(size: tuple[int, int]) -> None:
    frames = torch.randint(0, 256, (4, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert not check_clip(frames).static


def test_good_clip_has_no_warnings() -> None:
    assert check_clip(pan(1, 16)).warnings() == ()


def test_one_repeated_frame_and_many_cuts_in_words() -> None:
    report = ClipReport(cuts=tuple(range(10, 30, 2)), static=False, duplicates=(3,), motion=0.1)
    cuts, repeated = report.warnings()
    assert cuts.startswith("The clip has cuts at frames 10, 12, 14, 16, 18, 20, 22, 24 and 2 more (counting from 0)")
    assert repeated.startswith("Frame 3 repeats the frame before")


@pytest.mark.parametrize(
    ("numbers", "words"), [([3], "3"), ([3, 5], "3 and 5"), ([1, 2, 3], "1, 2 and 3"), (range(10), None)]
)
def test_listed(numbers: list[int], words: str | None) -> None:
    assert listed(numbers) == (words or "0, 1, 2, 3, 4, 5, 6, 7 and 2 more")
