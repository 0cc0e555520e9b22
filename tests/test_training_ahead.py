"""The order of work that a GPU gets, in which a step is computed before the numbers of the last are read. PyTorch's
fused optimiser asks for it and runs on CPUs as well."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from motion_lib.errors import MotionError
from motion_lib.settings import TrainingSettings
from motion_lib.training import TrainingState, train
from tests.runs import CLIP, Watched, begin, finish
from tests.test_training import Overflow
from tests.tiny import text, tiny_denoiser

SETTINGS = TrainingSettings(steps=6, loss="debiased", timesteps=(500, 999), final_rate=0.1, seed=11)


def fused(settings: TrainingSettings = SETTINGS) -> TrainingState:
    state = begin(settings)
    tensors = list(state.embedding.tensors.values())
    state.optimizer = torch.optim.AdamW(tensors, lr=settings.learning_rate, betas=settings.betas, fused=True)
    return state


def same(a: TrainingState, b: TrainingState, tolerance: float = 0.0) -> bool:
    pairs = [(t, b.embedding.tensors[k]) for k, t in a.embedding.tensors.items()]
    return a.losses == pytest.approx(b.losses, rel=tolerance) and all(
        torch.allclose(x, y, rtol=tolerance, atol=tolerance) for x, y in pairs
    )


def test_it_learns_what_steps_one_by_one_learn() -> None:
    watched = Watched(tiny_denoiser())
    ahead, one_by_one = finish(fused(), watched), finish(begin(replace(SETTINGS, weight_decay=0.01)))
    assert same(ahead, one_by_one, 1e-4) and len(ahead.losses) == 6
    assert len(watched.latents) == 6  # nothing is computed twice, nor beyond the last step


def test_leaving_and_taking_up_again() -> None:
    whole, state = finish(fused()), fused()
    for steps in (1, 2, 3):
        run = train(tiny_denoiser(), CLIP, text(), state)
        for _ in range(steps):
            next(run)
        run.close()
    assert state.done and same(whole, state)


def test_the_generator_is_where_it_would_be() -> None:
    a, b = fused(), begin(SETTINGS)
    for _ in zip(train(tiny_denoiser(), CLIP, text(), a), train(tiny_denoiser(), CLIP, text(), b), strict=True):
        assert torch.equal(a.generator.get_state(), b.generator.get_state())


@pytest.mark.parametrize("what", ["generator", "tensors"])
def test_what_the_caller_changes_between_steps_counts(what: str) -> None:
    def change(state: TrainingState) -> None:
        if state.step == 3 and what == "generator":
            state.generator.manual_seed(5)
        elif state.step == 3:
            for tensor in state.embedding.tensors.values():
                tensor.data.zero_()
                tensor.detach().mul_(1)  # writing to .data alone is not counted by PyTorch

    runs = fused(), begin(SETTINGS)
    for state in runs:
        for _ in train(tiny_denoiser(), CLIP, text(), state):
            change(state)
    untouched = finish(fused())
    assert same(*runs, 1e-4) and not same(runs[0], untouched, 1e-4)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda p, call: p * (math.nan if call == 3 else 1), "loss became nan"),
        (lambda p, call: Overflow.apply(p) if call == 3 else p, "gradient became (inf|nan)"),
    ],
)
def test_a_run_that_breaks_stops_with_the_last_good_embedding(spoil: Callable, what: str) -> None:
    state, good = fused(replace(SETTINGS, steps=5, final_rate=1.0)), fused(replace(SETTINGS, steps=2, final_rate=1.0))
    with pytest.raises(MotionError, match=f"^The {what} at step 3: lower learning_rate"):
        finish(state, Watched(tiny_denoiser(), spoil))
    finish(good)
    assert state.step == 2 and same(state, good)
    assert not hasattr(state.optimizer, "found_inf")
    moments = [entry["step"].item() for entry in state.optimizer.state.values()]
    assert moments == [2.0] * len(moments)


def test_a_model_that_fails_while_computing_ahead_loses_no_step() -> None:
    def spoil(prediction, call):
        if call == 3:
            raise RuntimeError("out of memory")
        return prediction

    state = fused()
    with pytest.raises(RuntimeError, match="out of memory"):
        finish(state, Watched(tiny_denoiser(), spoil))
    assert state.step == 2 and len(state.losses) == 2
    assert same(finish(state), finish(fused()))
