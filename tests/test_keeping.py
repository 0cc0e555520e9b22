"""Keeping the best candidate of a run, ending it early, and the score by which candidates are compared."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from motion_lib.backbones import load_model
from motion_lib.errors import MotionError
from motion_lib.method.embedding import MotionEmbedding
from motion_lib.method.patch import MotionPatch
from motion_lib.metrics.candidates import FidelityMinusLeak
from motion_lib.metrics.leak import sprite_regions
from motion_lib.training.loop import train
from motion_lib.training.selection import Candidate, Keeper
from motion_lib.training.settings import TrainingSettings
from tests.backbones.folders import build
from tests.runs import CLIP, begin
from tests.tiny import random_embedding, text, tiny_denoiser

NAN = math.nan
EMPTY: Any = None  # an embedding that nobody looks at


def keep(scores: list[float], patience: int = 0, steps: int = 10, every: int = 3) -> tuple[Keeper, int]:
    """A keeper after a run of the tiny model with these scores, and the steps that it took."""
    coming = iter(scores)
    keeper, state = Keeper(every, lambda embedding: next(coming), patience), begin(TrainingSettings(steps=steps))
    for _ in train(tiny_denoiser(), CLIP, text(), state):
        if keeper.due(state):
            keeper.take(state)
            assert not keeper.due(state)
        if keeper.exhausted:
            break
    return keeper, state.step


def test_candidates_are_taken_every_so_many_steps_and_at_the_end() -> None:
    keeper, steps = keep([1, 2, 3, 4])
    assert [(c.step, c.score) for c in keeper.candidates] == [(3, 1), (6, 2), (9, 3), (10, 4)] and steps == 10
    keeper, _ = keep([1, 2, 3], steps=9)
    assert [c.step for c in keeper.candidates] == [3, 6, 9]
    for earlier, later in zip(keeper.candidates, keeper.candidates[1:], strict=False):
        pairs = [(earlier.embedding.tensors[k], later.embedding.tensors[k]) for k in earlier.embedding.tensors]
        assert all(not torch.equal(*pair) for pair in pairs)  # each is a copy of its own time


def test_the_kept_embedding_is_that_of_its_step() -> None:
    keeper, _ = keep([0.1, 0.9, 0.3, 0.2])
    state = begin(TrainingSettings(steps=10))
    run = train(tiny_denoiser(), CLIP, text(), state)
    for _ in range(6):
        next(run)
    assert keeper.best.step == 6 and not any(t.requires_grad for t in keeper.best.embedding.tensors.values())
    assert all(torch.equal(t, state.embedding.tensors[k]) for k, t in keeper.best.embedding.tensors.items())


@pytest.mark.parametrize(
    ("scores", "patience", "best", "steps"),
    [
        ([0.5, 0.4, 0.3, 0.2], 2, 3, 9),
        ([0.5, 0.4, 0.6, 0.2], 2, 9, 10),
        ([0.5, 0.5, 0.5, 0.5], 1, 3, 6),  # as good is not better
        ([0.1, 0.2, 0.1, 0.1], 0, 6, 10),
        ([NAN, 0.2, NAN, NAN], 2, 6, 10),
        ([NAN, -0.2, NAN, NAN], 1, 6, 9),
        ([NAN, NAN, NAN, NAN], 1, 10, 10),  # nothing was measured: train on, and keep the last
    ],
)
def test_best_and_patience(scores: list[float], patience: int, best: int, steps: int) -> None:
    keeper, took = keep(scores, patience)
    assert (keeper.best.step, took) == (best, steps)


@settings(deadline=None)
@given(
    scores=st.lists(st.one_of(st.floats(-1, 1), st.just(NAN)), min_size=1, max_size=12),
    patience=st.integers(0, 5),
)
def test_no_candidate_is_better_than_the_best_and_patience_counts_from_it(scores: list[float], patience: int) -> None:
    keeper = Keeper(1, patience=patience, candidates=[Candidate(i, EMPTY, s) for i, s in enumerate(scores)])
    assert all(math.isnan(s) or s <= keeper.best.score for s in scores)
    assert keeper.exhausted == (0 < patience <= len(scores) - 1 - keeper.best.step)


def test_a_keeper_without_scores_keeps_the_last() -> None:
    state, keeper = begin(TrainingSettings(steps=4)), Keeper(2)
    for _ in train(tiny_denoiser(), CLIP, text(), state):
        if keeper.due(state):
            keeper.take(state)
    assert [c.step for c in keeper.candidates] == [2, 4] and keeper.best.step == 4 and not keeper.exhausted


def test_candidates_of_an_earlier_run_count() -> None:
    keeper = Keeper(3, lambda e: 0.0, 2, [Candidate(3, EMPTY, 1.0)])
    state = begin(TrainingSettings(steps=10))
    state.step = 3
    assert not keeper.due(state)
    for step in (6, 9):
        state.step = step
        assert keeper.due(state) and not keeper.exhausted
        keeper.take(state)
    assert keeper.exhausted and keeper.best.step == 3


@pytest.mark.parametrize(("options", "message"), [({"every": 0}, "every is 0"), ({"patience": -1}, "patience is -1")])
def test_bad_options(options: dict[str, int], message: str) -> None:
    with pytest.raises(MotionError, match=message):
        Keeper(**{"every": 5, **options})


# Fidelity minus leak


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    return load_model(build(tmp_path_factory.mktemp("models") / "tiny"))


def disc(colour: tuple[int, int, int], background: tuple[int, int, int], path: Tensor) -> Tensor:
    """uint8 `[f, 64, 64, 3]`: a disc whose centre (x, y) moves along `[f, 2]`."""
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    inside = torch.stack([(columns - x) ** 2 + (rows - y) ** 2 < 100 for x, y in path.tolist()])[..., None]
    return torch.where(inside, torch.tensor(colour), torch.tensor(background)).to(torch.uint8)


TURNS = torch.linspace(0, 2 * math.pi, 17)[:16]
CIRCLE = 32 + 16 * torch.stack([TURNS.cos(), TURNS.sin()], dim=1)
STILL = CIRCLE.mean(dim=0).expand(16, 2)
RED, BLUE, GREY, BEIGE = (220, 30, 30), (40, 60, 230), (128, 128, 128), (220, 205, 170)


class Canned(FidelityMinusLeak):
    """Shows these videos instead of sampling."""

    with_motion: Tensor
    without_motion: Tensor

    def _video(self, i: int, patches: list[MotionPatch]) -> Tensor:
        return self.with_motion if patches else self.without_motion


@pytest.mark.parametrize(
    ("video", "low", "high"),
    [
        (disc(BLUE, BEIGE, CIRCLE), 0.9, 1.0),  # its motion, none of its look
        (disc(RED, GREY, CIRCLE), -0.05, 0.05),  # the reference itself
        (disc(RED, BEIGE, CIRCLE), 0.4, 0.6),  # the object's colour leaked, the background's did not
        (disc(BLUE, BEIGE, STILL), 0.0, 0.0),  # neither motion nor look
        (disc(RED, GREY, STILL), -1.0, -0.95),
        (disc(BLUE, BEIGE, 64 - CIRCLE), -1.0, -0.5),  # the opposite motion
    ],
)
def test_score_of_known_videos(model, video: Tensor, low: float, high: float) -> None:
    score = Canned(model, disc(RED, GREY, CIRCLE), ["a"], lambda e: MotionPatch(e), regions=sprite_regions)
    score.without_motion, score.with_motion = disc(BLUE, BEIGE, STILL), video
    embedding = random_embedding(model.denoiser.backbone, frames=4, size=(8, 8))
    assert low <= score(embedding) <= high


def test_sampled_scores_are_reproducible_and_use_the_patch(model) -> None:
    reference = disc(RED, GREY, CIRCLE)[:4]
    seen: list[MotionEmbedding] = []

    def patch_of(embedding: MotionEmbedding) -> MotionPatch:
        seen.append(embedding)
        return MotionPatch(embedding, strength_v=2.0)

    def new(**options) -> FidelityMinusLeak:
        return FidelityMinusLeak(model, reference, ["a", "b"], patch_of, steps=2, guidance=1.5, **options)

    embedding = random_embedding(model.denoiser.backbone, frames=4, size=(32, 32))
    score = new()
    first = score(embedding)
    assert score(embedding) == first == new()(embedding) and -2 <= first <= 2
    assert seen == [embedding] * 6
    videos = [score._video(i, []) for i in range(2)]
    assert not torch.equal(*videos) and videos[0].shape == reference.shape
    assert not torch.equal(score._video(0, [patch_of(embedding)]), videos[0])
    inverted = torch.zeros(1, 4, 4, 32, 32)
    mixed = new(inverted=inverted, noise_weight=1.0)
    assert torch.equal(mixed._video(0, []), videos[0])  # what is sampled without the motion has fresh noise
    assert not torch.equal(mixed._video(0, [MotionPatch(embedding, 0.0, 0.0)]), videos[0])


def test_what_cannot_be_scored(model) -> None:
    with pytest.raises(MotionError, match="Nothing moves in the reference"):
        FidelityMinusLeak(model, disc(RED, GREY, STILL), ["a"], lambda e: MotionPatch(e))
    with pytest.raises(MotionError, match="without prompts"):
        FidelityMinusLeak(model, disc(RED, GREY, CIRCLE), [], lambda e: MotionPatch(e))
