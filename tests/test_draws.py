"""What training draws at random, ahead of its step: the same numbers, and the generator where it would be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from motion_lib.training import loop
from motion_lib.training.loop import train
from motion_lib.training.noisy_clip import NoisyClips
from motion_lib.training.settings import TrainingSettings
from motion_lib.training.state import TrainingState
from tests.runs import CLIP, begin, finish
from tests.tiny import text, tiny_denoiser

SETTINGS = TrainingSettings(steps=6, loss="debiased", timesteps=(500, 999), seed=11)


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU."""
    monkeypatch.setattr(loop, "NoisyClips", lambda *given, ahead: NoisyClips(*given, ahead=True))


def taught(change: Callable[[TrainingState], None] = lambda state: None) -> TrainingState:
    state = begin(SETTINGS)
    for _ in train(tiny_denoiser(), CLIP, text(), state):
        change(state)
    return state


def same(a: TrainingState, b: TrainingState) -> bool:
    return a.losses == b.losses and all(torch.equal(t, b.embedding.tensors[k]) for k, t in a.embedding.tensors.items())


def test_drawing_ahead_changes_no_number(request: pytest.FixtureRequest) -> None:
    states: list[torch.Tensor] = []
    usual = taught(lambda state: states.append(state.generator.get_state()))
    request.getfixturevalue("ahead")
    again: list[torch.Tensor] = []
    assert same(taught(lambda state: again.append(state.generator.get_state())), usual)
    assert all(torch.equal(x, y) for x, y in zip(again, states, strict=True))


def test_what_was_drawn_is_taken_once() -> None:
    clips = NoisyClips(CLIP, text(), None, tiny_denoiser().process, SETTINGS, ahead=True)
    generator = torch.Generator().manual_seed(3)
    clips.draw_ahead(generator)
    first, second = clips.draw(generator), clips.draw(generator)
    generator.manual_seed(3)
    assert torch.equal(first.noise, clips.draw(generator).noise) and not torch.equal(first.noise, second.noise)


def test_a_generator_that_is_set_meanwhile_counts(request: pytest.FixtureRequest) -> None:
    def change(state: TrainingState) -> None:
        if state.step == 3:
            state.generator.manual_seed(5)

    usual, untouched = taught(change), taught()
    request.getfixturevalue("ahead")
    assert same(taught(change), usual) and not same(usual, untouched)


@pytest.mark.usefixtures("ahead")
def test_leaving_and_taking_up_again() -> None:
    whole, state = finish(begin(SETTINGS)), begin(SETTINGS)
    for steps in (1, 2, 3):
        run = train(tiny_denoiser(), CLIP, text(), state)
        for _ in range(steps):
            next(run)
        run.close()
    assert state.done and same(whole, state)


def test_the_table_of_a_schedule_is_kept_by_device() -> None:
    schedule = tiny_denoiser().process
    like, at = torch.zeros(1, 4, 2, 3, 3), torch.tensor([7])
    assert schedule.alpha(at, like).item() == schedule.alphas_cumprod[7].item()
    assert schedule.alpha(at, like.to("meta")).is_meta and not schedule.alpha(at, like).is_meta
