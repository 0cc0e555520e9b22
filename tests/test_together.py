"""Learning many clips in one batch is learning each of them alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from motion_lib.errors import MotionError
from motion_lib.method.embedding import MotionEmbedding
from motion_lib.training import loop
from motion_lib.training.loop import TrainingRun, train, train_together
from motion_lib.training.noisy_clip import NoisyClips
from motion_lib.training.settings import TrainingSettings
from motion_lib.training.state import TrainingState
from tests.tiny import randn, text, tiny_backbone, tiny_denoiser

SIZE = (5, 6)
SETTINGS = TrainingSettings(steps=3, loss="debiased", train_debias="difference", motion_mask=0.3, timesteps=(300, 999))


def run_of(
    number: int, settings: TrainingSettings = SETTINGS, frames: int = 3, **choices: Any
) -> TrainingRun[TrainingState]:
    """In float64, as the tiny model is asked to compute."""
    sites = choices.pop("sites", "all")
    zeros = MotionEmbedding.zeros(tiny_backbone(), sites, frames, SIZE, **choices)
    state = TrainingState.start(zeros, settings, "cpu")
    clip = randn(1, 4, frames, *SIZE, seed=number, dtype=torch.float64)
    return TrainingRun(clip, text(seed=number, dtype=torch.float64), state)


def learned_alone(given: TrainingRun[TrainingState]) -> TrainingState:
    denoiser = tiny_denoiser(dtype=torch.float64)
    for _ in train(denoiser, given.latents, given.conditioning, given.state, given.mask):
        pass
    return given.state


def same(ours: TrainingState, theirs: TrainingState) -> None:
    """Adam's first steps have the size of the rate whatever the gradient's, so that tiny gradients may turn a sign."""
    torch.testing.assert_close(ours.losses, theirs.losses, rtol=1e-6, atol=1e-9)
    for key, tensor in theirs.embedding.tensors.items():
        away = (ours.embedding.tensors[key] - tensor).detach().abs()
        assert away.median() < 1e-6 < tensor.detach().abs().median(), key


def test_each_learns_what_it_would_alone() -> None:
    """Clips, texts, seeds, sites, rates and numbers of steps of their own."""

    def runs() -> list[TrainingRun[TrainingState]]:
        return [
            run_of(1),
            run_of(2, replace(SETTINGS, seed=4, learning_rate=0.1, loss="mse"), sites="up_blocks.*"),
            run_of(3, replace(SETTINGS, steps=5, train_debias="vanilla", motion_mask=0.0), components="v"),
            run_of(4, replace(SETTINGS, loss="velocity"), qk_axes="partial", v_axes="1d"),
        ]

    joined = runs()
    assert list(train_together(tiny_denoiser(dtype=torch.float64), joined)) == [4, 4, 1, 1, 0]
    for ours, theirs in zip(joined, runs(), strict=True):
        same(ours.state, learned_alone(theirs))
        assert ours.state.done
    assert joined[0].state.losses != joined[1].state.losses


def test_drawing_ahead_as_on_a_gpu_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def taught() -> list[TrainingState]:
        runs = [run_of(1), run_of(2, replace(SETTINGS, seed=4, steps=5))]
        list(train_together(tiny_denoiser(dtype=torch.float64), runs))
        return [given.state for given in runs]

    usual = taught()
    monkeypatch.setattr(loop, "NoisyClips", lambda *given, ahead: NoisyClips(*given, ahead=True))
    for ours, theirs in zip(taught(), usual, strict=True):
        assert ours.losses == theirs.losses
        assert torch.equal(ours.generator.get_state(), theirs.generator.get_state())


def test_each_may_have_its_mask() -> None:
    masks = [torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]

    def runs() -> list[TrainingRun[TrainingState]]:
        return [replace(run_of(number), mask=mask) for number, mask in enumerate(masks)]

    joined = runs()
    list(train_together(tiny_denoiser(dtype=torch.float64), joined))
    for ours, theirs in zip(joined, runs(), strict=True):
        same(ours.state, learned_alone(theirs))
    assert joined[0].state.losses != learned_alone(run_of(0)).losses


def test_a_state_carries_on_alone() -> None:
    half, whole = run_of(1), run_of(1)
    run = train_together(tiny_denoiser(dtype=torch.float64), [half, run_of(2)])
    next(run)
    assert half.state.step == 1
    same(learned_alone(half), learned_alone(whole))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: run_of(2, frames=4), "must be alike"),
        (lambda: run_of(2, integration="multiply"), "must have one integration"),
        (lambda: run_of(2, replace(SETTINGS, loss="hybrid")), "learn each clip alone"),
        (lambda: TrainingRun(torch.full((1, 4, 3, *SIZE), torch.nan), text(), run_of(2).state), "contain NaN"),
    ],
)
def test_what_cannot_be_learned_together(other, message: str) -> None:
    with pytest.raises(MotionError, match=message):
        list(train_together(tiny_denoiser(dtype=torch.float64), [run_of(1), other()]))


def test_a_loss_that_is_not_finite_stops_all_before_anything_is_lost() -> None:
    runs = [run_of(1), run_of(2)]
    run = train_together(tiny_denoiser(dtype=torch.float64), runs)
    next(run)
    before = [{k: t.detach().clone() for k, t in each.state.embedding.tensors.items()} for each in runs]
    runs[1].latents[0, 0, 0, 0, 0] = torch.inf
    with pytest.raises(MotionError, match=r"of clip 2 of 2 became .*lower learning_rate"):
        next(run)
    for each, tensors in zip(runs, before, strict=True):
        assert each.state.step == 1
        assert all(torch.equal(each.state.embedding.tensors[key], tensor) for key, tensor in tensors.items())
