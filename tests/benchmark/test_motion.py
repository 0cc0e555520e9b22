"""The command `benchmark motion`, as a user would run it, on a small model."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest
import torch

from motion_lib.benchmark.methods import UNET
from motion_lib.benchmark.methods.spec import chosen_methods, settings_of
from motion_lib.benchmark.plan import Plan
from motion_lib.cli import main
from motion_lib.cli.benchmark.motion import QUICK_MOTIONS, add_arguments, methods_of, plan_of
from motion_lib.sprites.motions import MOTIONS
from motion_lib.video import write_video


def plan(*options: str) -> Plan:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    parsed = parser.parse_args(["--device", "cpu", *options])
    return plan_of(parsed, chosen_methods(parsed.methods or methods_of(parsed, UNET), parsed.set))


def test_everything_is_compared_unless_less_is_asked_for() -> None:
    full = plan()
    assert [case.name for case in full.cases] == list(MOTIONS) and list(full.methods) == list(UNET.usual)
    assert (full.seeds, full.steps, full.guidance, full.dtype) == (2, 20, 4.0, torch.float32)
    assert all(len(case.prompts) == 3 and case.frames.shape == (16, 128, 128, 3) for case in full.cases)
    quick = plan("--quick")
    assert [case.name for case in quick.cases] == list(QUICK_MOTIONS) and tuple(quick.methods) == UNET.quick
    assert quick.steps == 10 and all(len(case.prompts) == 1 for case in quick.cases)
    own = plan("--quick", "--motions", "grow", "--prompts", "2", "--methods", "object", "--set", "steps=7")
    assert own.cases[0].name == "grow" and len(own.cases[0].prompts) == 2
    assert settings_of(own.methods["object"])["steps"] == 7


def test_ones_own_clip_is_scored_without_a_truth(small: list[str], tmp_path: Path, capsys) -> None:
    frames = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
    for i in range(4):
        frames[i, :, 8 * i : 8 * i + 8] = 200
    write_video(tmp_path / "bar.mp4", frames, 8)
    own = ["--clip", str(tmp_path / "bar.mp4"), "--clip-prompt", "a bar", "--prompt", "a robot"]
    command = [
        "benchmark",
        "motion",
        *small,
        "--out",
        str(tmp_path / "out"),
        "--seeds",
        "1",
        "--methods",
        "noise_blend",
    ]
    assert main([*command, *own]) == 0
    (case,) = json.loads((tmp_path / "out" / "report.json").read_text())["cases"]
    assert case == {"name": "bar", "prompt": "a bar", "prompts": ["a robot"]}
    text = capsys.readouterr().out
    assert "leak ↓" in text and "path" not in text and "caption" not in text


def test_what_does_not_fit_together_is_explained(small: list[str], tmp_path: Path, capsys) -> None:
    command = ["benchmark", "motion", *small, "--out", str(tmp_path)]
    assert main([*command, "--clip", "a.mp4", "--prompt", "a robot"]) == 2
    assert "one --clip-prompt for each --clip" in capsys.readouterr().err
    assert main([*command, "--methods", "object:speed=1"]) == 2
    assert "has no setting 'speed'" in capsys.readouterr().err


def test_videos_made_on_one_machine_are_judged_on_another(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """The machine that makes them has no OpenCV; the one that judges them makes none."""
    from motion_lib.benchmark.methods.motion_inversion import MotionInversion

    command = ["benchmark", "motion", *small, "--motions", "orbit", "--prompts", "1", "--seeds", "1"]
    command += ["--methods", "no_motion", "object:steps=1"]
    together, apart = tmp_path / "together", tmp_path / "apart"
    assert main([*command, "--out", str(apart), "--judge-only"]) == 2
    assert "holds no videos to judge" in capsys.readouterr().err
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "cv2", None)
        assert main([*command, "--out", str(apart), "--make-only"]) == 0
    assert not (apart / "report.json").exists()
    with monkeypatch.context() as idle:
        idle.setattr(MotionInversion, "learn", None)
        assert main([*command, "--out", str(apart), "--judge-only"]) == 0
    assert main([*command, "--out", str(together)]) == 0
    found = [json.loads((out / "report.json").read_text())["results"] for out in (together, apart)]
    for whole, halves in zip(*found, strict=True):
        assert whole["method"] == halves["method"] and whole["bytes"] == halves["bytes"]
        for ours, theirs in zip(whole["videos"], halves["videos"], strict=True):
            assert ours.keys() == theirs.keys()
            assert theirs["caption_all"] == pytest.approx(ours["caption_all"], abs=0.3)
    (apart / "made" / "orbit" / "no_motion.safetensors").unlink()
    (apart / "results" / "orbit" / "no_motion.json").unlink()
    assert main([*command, "--out", str(apart), "--judge-only"]) == 2
    assert "no_motion.safetensors does not hold videos made in this way" in capsys.readouterr().err
