"""Ctrl-C keeps the work, and carrying on is the same as never having stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from motion_lib import load_embedding
from motion_lib.cli import learning
from motion_lib.cli import train as command
from motion_lib.errors import MotionError
from motion_lib.files import embedding_file as files
from motion_lib.files.claims import claimed
from motion_lib.files.details import SETTINGS
from tests.cli.conftest import SMALL
from tests.test_checkpoints import rewrite


def test_resuming_is_bit_identical_to_not_having_stopped(
    train, stop_after, monkeypatch, tmp_path: Path, capsys
) -> None:
    straight, broken = tmp_path / "straight.safetensors", tmp_path / "broken.safetensors"
    assert train(straight, "--steps", "5") == 0
    stop_after(2)
    assert train(broken, "--steps", "5") == 130
    assert "Stopped after 2 of 5 steps" in capsys.readouterr().err
    assert load_embedding(broken).origin.trained_steps == 2
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


def same(a: Path, b: Path) -> bool:
    one, two = files.read(a)[0], files.read(b)[0]
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


# Learns into one file, then into another, again and again until that ends by itself, and says when a step is done.
RUNNER = """
import sys
from motion_lib.cli import learning, main
original = learning.train
def spoken(*given):
    for state in original(*given):
        print("step", state.step, flush=True)
        yield state
straight, broken, *command = sys.argv[1:]
main([*command, "--out", straight])
learning.train = spoken
code = 1
while code:
    code = main([*command, "--out", broken, "--resume"])
    print("code", code, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_signals_at_any_moment_change_nothing(folder: str, clip: str, tmp_path: Path) -> None:
    """To a process of its own, while it trains: each keeps the work, two in a row as well, and what comes out in the
    end is bit for bit what it would have been."""
    straight, broken, chance = tmp_path / "straight.safetensors", tmp_path / "broken.safetensors", random.Random(4)
    arguments = [str(straight), str(broken), "train", clip, "--prompt", "a bar", "--model", folder, *SMALL]
    arguments += ["--steps", "16", "--loss", "hybrid"]
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert runner.stdout is not None
    assert "learned in 16 steps" in runner.stdout.readline()
    steps: list[int] = []
    rounds = [(signal.SIGTERM,), (signal.SIGHUP,), (signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)]
    for numbers in rounds:
        for _ in range(chance.randint(1, 2)):
            said, value = runner.stdout.readline().split()
            assert said == "step"
            steps.append(int(value))
        time.sleep(chance.uniform(0, 0.1))
        for number in numbers:
            runner.send_signal(number)
            time.sleep(0.002)
        while (said := runner.stdout.readline().split())[0] == "step":
            steps.append(int(said[1]))
        assert said[0] == "code"
        assert int(said[1]) in {128 + number for number in numbers}  # two that wait at once are taken in any order
        assert load_embedding(broken).origin.trained_steps in (steps[-1], steps[-1] + 1)
    rest = runner.communicate(timeout=300)[0].split("\n")
    assert rest[-2] == "code 0" and runner.returncode == 0
    assert same(straight, broken) and sorted(tmp_path.iterdir()) == [broken, straight]


def test_a_finished_file_is_not_replaced_by_half_of_another(train, stop_after, monkeypatch, tmp_path, capsys) -> None:
    out = tmp_path / "a.safetensors"
    assert train(out) == 0
    finished = out.read_bytes()
    stop_after(2)
    assert train(out, "--seed", "1") == 130
    partial = learning.partial_of(out)
    assert out.read_bytes() == finished and load_embedding(partial).origin.trained_steps == 2
    assert f"{partial} holds the motion so far" in capsys.readouterr().err
    monkeypatch.undo()
    assert train(out, "--seed", "1", "--resume") == 0
    assert load_embedding(out).origin.settings["seed"] == 1 and list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("full", ["save_checkpoint", "save_embedding", "both"])
def test_a_disk_with_room_for_one_of_two(full: str, train, stop_after, monkeypatch, tmp_path: Path, capsys) -> None:
    def refuse(path, state):
        raise MotionError(f"Cannot write {path}: No space left on device.")

    out = tmp_path / "a.safetensors"
    stop_after(2)
    for name in ("save_checkpoint", "save_embedding"):
        if full in (name, "both"):
            monkeypatch.setattr(learning, name, refuse)
    assert train(out) == 130
    said = capsys.readouterr().err
    assert "Stopped after 2 of 4 steps" in said and "No space left" in said
    assert out.is_file() == (full == "save_checkpoint") == (f"{out} holds the motion so far" in said)
    assert learning.checkpoint_of(out).is_file() == (full == "save_embedding") == ("carries on from step 2" in said)


def test_training_goes_on_without_checkpoints(train, monkeypatch, tmp_path: Path, capsys) -> None:
    def refuse(path, state):
        raise MotionError(f"Cannot write {path}: No space left on device.")

    monkeypatch.setattr(learning, "save_checkpoint", refuse)
    monkeypatch.setattr(learning, "SAVE_EVERY", 2)
    assert train(tmp_path / "a.safetensors") == 0
    assert "There is no checkpoint of step 2: Cannot write" in capsys.readouterr().err


def test_a_result_that_cannot_be_written_is_in_the_checkpoint(train, monkeypatch, tmp_path: Path, capsys) -> None:
    straight, out = tmp_path / "straight.safetensors", tmp_path / "a.safetensors"
    assert train(straight) == 0

    def refuse(path, embedding):
        raise MotionError(f"Cannot write {path}: No space left on device.")

    with monkeypatch.context() as patched:
        patched.setattr(learning, "save_embedding", refuse)
        assert train(out) == 2
    assert "carries on from step 4" in capsys.readouterr().err and not out.exists()
    assert train(out, "--resume") == 0
    assert same(straight, out)


@pytest.mark.parametrize("out", [".", "folder", "file/a.safetensors", "x" * 240 + ".safetensors"])
def test_where_nothing_can_be_written_nothing_is_learned(out: str, train, monkeypatch, tmp_path: Path, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "load", None)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("keep")
    assert train(Path(out)) == 2
    assert "Cannot write" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_two_processes_do_not_learn_into_one_file(train, tmp_path: Path, capsys) -> None:
    out = tmp_path / "a.safetensors"
    with claimed(out):
        assert train(out) == 2
    assert f"is being learned by process {os.getpid()} on" in capsys.readouterr().err and not out.exists()


def test_one_prompt_for_one_video(train, tmp_path: Path, capsys) -> None:
    assert train(tmp_path / "a.safetensors", "--prompt", "a bar", "--prompt", "a box") == 2
    assert "--prompt was given 2 times for 1 videos" in capsys.readouterr().err


CHANGES = {
    "sites": "all",
    "components": "qk",
    "integration": "concatenate",
    "qk_axes": "full",
    "v_axes": "1d",
    "prompt": "another",
    "preset": "hybrid",
}


def test_resuming_what_is_learned_otherwise_is_refused(train, stop_after, monkeypatch, tmp_path, capsys) -> None:
    """Of a checkpoint of today, and of one from before most of it was recorded."""
    out = tmp_path / "a.safetensors"
    stop_after(2)
    assert train(out) == 130
    monkeypatch.undo()
    checkpoint = learning.checkpoint_of(out)

    def forget(tensors: dict, header: dict) -> None:
        details = json.loads(header["details"])
        later = {*SETTINGS, "model_sha256"} - {"steps", "seed"}
        header["details"] = json.dumps({k: v for k, v in details.items() if k not in later})

    old = rewrite(checkpoint, tmp_path / "old", forget).read_bytes()
    for content in (checkpoint.read_bytes(), old):
        checkpoint.write_bytes(content)
        for name, value in CHANGES.items():
            capsys.readouterr()
            assert train(out, "--resume", f"--{name.replace('_', '-')}", value) == 2, name
            assert f"differs in its {name}: resume with the same {name}" in capsys.readouterr().err
            assert checkpoint.read_bytes() == content
    assert train(out, "--resume") == 0
    assert train(tmp_path / "straight.safetensors") == 0 and same(out, tmp_path / "straight.safetensors")
