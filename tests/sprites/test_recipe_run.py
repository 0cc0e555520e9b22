"""A run of a stage of the recipes: how many steps fit, and what it carries on from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from motion_lib.sprites.recipe import checkpoint
from motion_lib.sprites.recipe.run import Run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds, which pass only where a test adds some."""
    now = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    return now


def train(run: Run, clock: list[float], seconds: float) -> torch.nn.Linear:
    model = torch.nn.Linear(2, 2)
    run.start(model)
    while run.going:
        clock[0] += seconds
        run.count(torch.tensor(float(run.step)))
        run.fit(5, 15)
    run.save(model)
    return model


def test_as_many_steps_as_fit_into_the_minutes(clock, tmp_path: Path) -> None:
    """At two seconds a step thirty fit into a minute, and as many again where the next run carries on."""
    for before in (0, 30):
        run = Run(tmp_path / "stage.pt", 0, 1.0, "cpu")
        train(run, clock, 2.0)
        assert (run.first, run.step, run.steps, run.done) == (before, before + 30, before + 30, 30)


def test_a_number_of_steps_is_kept_to_and_what_is_told_is_a_mean(clock, tmp_path: Path, capsys) -> None:
    run = Run(tmp_path / "stage.pt", 20, 1.0, "cpu")
    model = train(run, clock, 60.0)
    assert run.steps == run.step == 20
    run.tell(mean=run.mean().item())
    assert json.loads(capsys.readouterr().out) == {"step": 20, "mean": 9.5, "seconds": 1200}
    again, other = Run(tmp_path / "stage.pt", 20, 1.0, "cpu"), torch.nn.Linear(2, 2)
    again.start(other)
    assert torch.equal(other.weight, model.weight) and again.step == 20 and not again.going
