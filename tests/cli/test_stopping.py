"""Ctrl-C keeps the work, and carrying on is the same as never having stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from motion_lib import files, load_embedding
from motion_lib.cli import learning


@pytest.fixture
def stop_after(monkeypatch):
    """Make training raise KeyboardInterrupt after some steps, as Ctrl-C does."""
    original = learning.train

    def arrange(steps: int) -> None:
        def interrupted(*arguments):
            for state in original(*arguments):
                yield state
                if state.step == steps:
                    raise KeyboardInterrupt

        monkeypatch.setattr(learning, "train", interrupted)

    yield arrange
    monkeypatch.setattr(learning, "train", original)


def test_resuming_is_bit_identical_to_not_having_stopped(
    train, stop_after, monkeypatch, tmp_path: Path, capsys
) -> None:
    straight, broken = tmp_path / "straight.safetensors", tmp_path / "broken.safetensors"
    assert train(straight, "--steps", "5") == 0
    stop_after(2)
    assert train(broken, "--steps", "5") == 130
    assert "Stopped after 2 of 5 steps" in capsys.readouterr().err
    assert load_embedding(broken).details["trained_steps"] == 2
    checkpoint = learning.checkpoint_of(broken)
    assert checkpoint.is_file()
    monkeypatch.undo()
    assert train(broken, "--steps", "5", "--resume") == 0
    assert not checkpoint.exists()
    one, two = files.read(straight)[0], files.read(broken)[0]
    assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("change", [("--steps", "6"), ("--learning-rate", "0.5"), ("--seed", "9")])
def test_resuming_with_other_settings_is_refused(change, train, stop_after, monkeypatch, tmp_path, capsys) -> None:
    out = tmp_path / "a.safetensors"
    stop_after(2)
    assert train(out, "--steps", "5") == 130
    monkeypatch.undo()
    before = learning.checkpoint_of(out).read_bytes()
    capsys.readouterr()
    options = ["--resume", *(("--steps", "5") if change[0] != "--steps" else ()), *change]
    assert train(out, *options) == 2
    assert change[0].strip("-").replace("-", "_") in capsys.readouterr().err
    assert learning.checkpoint_of(out).read_bytes() == before


def test_resuming_another_clip_is_refused(train, stop_after, monkeypatch, tmp_path: Path, capsys) -> None:
    out = tmp_path / "a.safetensors"
    stop_after(2)
    assert train(out) == 130
    monkeypatch.undo()
    capsys.readouterr()
    assert train(out, "--resume", "--prompt", "another") == 2
    assert "resume with the same prompt" in capsys.readouterr().err


def test_resume_without_an_unfinished_run_says_so_and_trains(train, tmp_path: Path, capsys) -> None:
    assert train(tmp_path / "a.safetensors", "--resume") == 0
    assert "starting anew" in capsys.readouterr().err
