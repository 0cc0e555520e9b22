"""The checker on rendered clips, where every answer is known."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch
from torch import Tensor

from motion_lib.sprites import TONES, FrameVerdict, Scenes, check_frames, object_path, random_scenes, render

CLIPS, FRAMES = 80, 2


@lru_cache(maxsize=1)
def judged() -> tuple[Scenes, Tensor, list[list[FrameVerdict]]]:
    """160 frames of 80 random clips."""
    scenes = random_scenes(CLIPS, FRAMES, generator=torch.Generator().manual_seed(12))
    frames = render(scenes)
    verdicts = check_frames(frames.flatten(0, 1))
    return scenes, frames, [verdicts[FRAMES * i : FRAMES * (i + 1)] for i in range(CLIPS)]


@pytest.mark.parametrize("kind", ["shape", "colour", "tone", "texture"])
def test_words_are_right(kind: str) -> None:
    scenes, _, verdicts = judged()
    right = [getattr(v.words, kind) == getattr(scenes.words(i), kind) for i in range(CLIPS) for v in verdicts[i]]
    assert len(right) == 160 and sum(right) / len(right) >= 0.99


def inside(scenes: Scenes) -> Tensor:
    """`[b, f]`: the whole object is in sight."""
    return scenes.position.abs().amax(dim=-1) + 1.2 * scenes.radius < 1


def test_positions_are_right() -> None:
    scenes, frames, verdicts = judged()
    found = torch.tensor([[v.position for v in clip] for clip in verdicts])
    error = (found - scenes.position).norm(dim=-1)[inside(scenes)]
    assert len(error) > 60 and error.median() < 0.01 and error.max() < 0.05
    path = object_path(frames.flatten(0, 1)).reshape(CLIPS, FRAMES, 2)
    torch.testing.assert_close(path, found)


def test_sizes_are_right() -> None:
    """Area over squared radius depends on the shape only."""
    scenes, _, verdicts = judged()
    area = torch.tensor([[v.area for v in clip] for clip in verdicts]) * 4 / scenes.radius**2
    for shape in range(8):
        ratio = area[(scenes.shape == shape)[:, None] & inside(scenes)]
        assert len(ratio) > 3 and ratio.std() / ratio.mean() < 0.06


def test_an_empty_frame_has_no_object_but_a_background() -> None:
    grey = torch.full((2, 3, 64, 64), 0.56)
    for verdict in check_frames(grey):
        assert (verdict.words.shape, verdict.words.colour) == (None, None)
        assert (verdict.words.tone, verdict.words.texture) == ("grey", "plain")
        assert verdict.background == pytest.approx((0.56, 0.56, 0.56))
    assert object_path(grey).isnan().all()


def test_noise_does_not_upset_it() -> None:
    """Generated clips are not as clean as rendered ones."""
    scenes, frames, _ = judged()
    noisy = (frames[:, 0] + 0.02 * torch.randn(frames[:, 0].shape)).clamp(0, 1)
    for kind in ("shape", "colour", "tone", "texture"):
        right = [getattr(v.words, kind) == getattr(scenes.words(i), kind) for i, v in enumerate(check_frames(noisy))]
        assert sum(right) / len(right) >= 0.95, kind


def test_patterns_that_no_word_describes() -> None:
    """Generated clips mix textures: dots are dots in either tone, and blots on half of the ground are nothing known."""
    x, y = torch.meshgrid(torch.linspace(-8, 8, 128), torch.linspace(-8, 8, 128), indexing="xy")
    hills, ripples = (
        (1.6 * x).cos() + (1.6 * y).cos(),
        x.sin() + (0.8 * x + 0.9 * y).sin() + (0.5 * x - 1.1 * y + 1).cos(),
    )
    looks = {
        "light dots": (hills > 0.7, "dotted"),
        "dark dots": (hills < -0.7, "dotted"),
        "turned checks": (hills > 0, "checkered"),
        "blots": (ripples > 0, None),
    }
    first, second = (torch.tensor(tone)[:, None, None] for tone in TONES["beige"])
    frames = torch.stack([torch.where(mask, second, first) for mask, _ in looks.values()])
    found = [verdict.words.texture for verdict in check_frames(frames)]
    assert dict(zip(looks, found, strict=True)) == {name: texture for name, (_, texture) in looks.items()}


def test_a_frame_without_background_has_a_verdict_as_well() -> None:
    vivid = torch.zeros(1, 3, 64, 64)
    vivid[:, 0] = 1.0
    (verdict,) = check_frames(vivid)
    assert verdict.words.colour == "red" and verdict.area > 0.99
    noisy = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)).round()
    assert torch.tensor(check_frames(noisy)[0].background).isfinite().all()
