"""Random scenes: reproducible, inside their limits, and free where the caption says nothing."""

from __future__ import annotations

import itertools
from dataclasses import fields

import torch

from motion_lib.sprites import COLOURS, SHAPES, TEXTURES, TONES, Scenes, concatenate, random_scenes


def draw(n: int, seed: int, frames: int = 16) -> Scenes:
    return random_scenes(n, frames, generator=torch.Generator().manual_seed(seed))


def test_reproducible_from_the_generator_alone() -> None:
    torch.manual_seed(1)
    a = draw(4, 7)
    torch.manual_seed(2)
    b, other = draw(4, 7), draw(4, 8)
    for f in fields(Scenes):
        assert torch.equal(getattr(a, f.name), getattr(b, f.name)), f.name
    assert not torch.equal(a.position, other.position)


def test_every_word_occurs_about_equally_often() -> None:
    scenes = draw(2000, 0, 2)
    for labels, words in (
        (scenes.shape, SHAPES),
        (scenes.colour, COLOURS),
        (scenes.tone, TONES),
        (scenes.texture, TEXTURES),
    ):
        counts = labels.bincount(minlength=len(words)).float() / 2000 * len(words)
        assert len(counts) == len(words) and counts.min() > 0.7 and counts.max() < 1.3


def test_words_name_the_labels() -> None:
    scenes = draw(5, 3)
    for i in range(5):
        words = scenes.words(i)
        assert SHAPES.index(words.shape) == scenes.shape[i] and TEXTURES.index(words.texture) == scenes.texture[i]
        assert list(COLOURS).index(words.colour) == scenes.colour[i] and list(TONES).index(words.tone) == scenes.tone[i]


def test_objects_stay_in_sight_and_steps_are_short() -> None:
    scenes = draw(500, 1)
    assert scenes.position.abs().max() < 1 and scenes.radius.min() >= 0.18 and scenes.radius.max() <= 0.5
    assert scenes.position.diff(dim=1).norm(dim=-1).max() < 0.2401


def test_paths_vary() -> None:
    """No direction is preferred, paths of different scenes are unlike each other, and a few objects stand still."""
    scenes = draw(300, 2)
    steps = scenes.position[:, -1] - scenes.position[:, 0]
    assert steps.mean(dim=0).abs().max() < 0.1 and steps.std(dim=0).min() > 0.25
    still = (scenes.position.diff(dim=1).abs().amax(dim=(1, 2)) == 0).float().mean()
    assert 0.03 < still < 0.15
    moving = [p - p.mean(0) for p in scenes.position[:60] if p.std(dim=0).max() > 0.05]
    cosines = [float((a * b).sum() / (a.norm() * b.norm())) for a, b in itertools.combinations(moving, 2)]
    assert abs(sum(cosines) / len(cosines)) < 0.1 and min(cosines) < -0.8 and max(cosines) > 0.8


def test_the_path_does_not_depend_on_the_words() -> None:
    """Correlation of every label with where the object starts: what a caption says must not tell the path."""
    scenes = draw(2000, 4, 4)
    for labels in (scenes.shape, scenes.colour, scenes.tone, scenes.texture):
        for axis in (0, 1):
            pair = torch.stack([labels.float(), scenes.position[:, 0, axis]])
            assert torch.corrcoef(pair)[0, 1].abs() < 0.08


def test_some_cameras_move_and_some_do_not() -> None:
    still = (draw(500, 5).camera.abs().amax(dim=(1, 2)) == 0).float().mean()
    assert 0.4 < still < 0.7


def test_concatenate_and_pick() -> None:
    a, b = draw(2, 1), draw(3, 2)
    both = concatenate([a, b])
    assert len(both) == 5 and both.frames == 16
    assert torch.equal(both[2:].waves, b.waves) and torch.equal(both[:2].shape, a.shape)
    assert both.to("cpu").shape.device.type == "cpu"
