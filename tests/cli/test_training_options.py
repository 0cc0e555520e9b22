"""What training can be told on the command line: several videos, a mask, schedules, candidates and keeping the best."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from motion_lib import load_embedding
from motion_lib.benchmark.cases import rendered_case
from motion_lib.cli import generate, learning, main
from motion_lib.cli import train as command
from motion_lib.cli.task import chosen_preset
from motion_lib.files import embedding_file as files
from motion_lib.metrics import candidates
from motion_lib.training.losses import LOSSES
from motion_lib.training.presets import PRESETS
from motion_lib.training.settings import LR_SCHEDULES
from motion_lib.video import write_video
from tests.cli.conftest import SMALL
from tests.tiny import said_by


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return files.read(path)[0]


def equal(a: Path, b: Path) -> bool:
    one, two = tensors(a), tensors(b)
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(["a.mp4", "--prompt", "x", "--out", "o.safetensors", *arguments])


def test_options_reach_the_settings() -> None:
    given = ["--lr-schedule", "cosine", "--timestep-bias", "1.5", "--clip", "0", "--loss", "velocity", "--seed", "4"]
    given += ["--train-debias", "normalize", "--motion-mask", "0.2"]
    chosen = chosen_preset(parsed(*given)).settings
    found = (chosen.lr_schedule, chosen.timestep_bias, chosen.clip, chosen.loss, chosen.seed)
    assert found == ("cosine", 1.5, 0.0, "velocity", 4)
    assert (chosen.train_debias, chosen.motion_mask) == ("normalize", 0.2)
    assert chosen_preset(parsed()).settings == PRESETS["object"].settings


@pytest.mark.parametrize(
    "options", [("--loss", name) for name in LOSSES] + [("--lr-schedule", n) for n in LR_SCHEDULES]
)
def test_every_loss_and_schedule_trains(options, train, tmp_path: Path) -> None:
    assert train(tmp_path / "a.safetensors", "--steps", "2", *options) == 0
    embedding = load_embedding(tmp_path / "a.safetensors")
    assert embedding.origin.trained_steps == 2 and any(bool(t.any()) for t in embedding.tensors.values())


@pytest.fixture
def second(tmp_path: Path) -> str:
    """Like the first clip, in another colour."""
    frames = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
    for i in range(4):
        frames[i, :, 8 * i : 8 * i + 8, 0] = 200
    write_video(tmp_path / "red.mp4", frames, 8)
    return str(tmp_path / "red.mp4")


def both(folder: str, clip: str, second: str, out: Path, *options: str) -> int:
    command = ["train", clip, second, "--prompt", "a bar", "--prompt", "a red bar", "--model", folder]
    return main([*command, "--out", str(out), *SMALL, "--steps", "6", *options])


def test_several_videos_of_one_motion(folder: str, clip: str, second: str, train, tmp_path: Path) -> None:
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    assert train(one, "--steps", "6") == 0 and both(folder, clip, second, two) == 0
    first, details = said_by(load_embedding(one)), said_by(load_embedding(two))
    assert details["source"] == f"{Path(clip).name}, red.mp4" and details["prompt"] == "a bar | a red bar"
    assert details["clip_sha256"] != first["clip_sha256"] and not equal(one, two)


def test_videos_and_prompts_must_pair(folder: str, clip: str, second: str, tmp_path: Path, capsys) -> None:
    options = ["--model", folder, "--out", str(tmp_path / "a.safetensors"), "--width", "16", "--height", "16"]
    assert main(["train", clip, second, "--prompt", "a bar", *options, "--frames", "4"]) == 2
    assert "--prompt was given 1 times for 2 videos: give it once for each" in capsys.readouterr().err
    write_video(tmp_path / "short.mp4", torch.zeros(3, 32, 32, 3, dtype=torch.uint8), 8)
    short = str(tmp_path / "short.mp4")
    assert main(["train", clip, short, "--prompt", "a", "--prompt", "b", *options]) == 2
    assert "The videos have 4, 3 frames: give --frames 3" in capsys.readouterr().err
    assert not (tmp_path / "a.safetensors").exists()


def test_a_mask_changes_what_is_learned_and_belongs_to_the_run(train, tmp_path: Path, monkeypatch, capsys) -> None:
    left = Image.new("L", (64, 64))
    left.paste(255, (0, 0, 32, 64))
    left.save(tmp_path / "left.png")
    Image.new("L", (9, 9), 255).save(tmp_path / "all.png")
    plain, masked, whole = (tmp_path / f"{name}.safetensors" for name in ("plain", "masked", "whole"))
    assert train(plain) == 0
    assert train(masked, "--mask", str(tmp_path / "left.png")) == 0
    assert train(whole, "--mask", str(tmp_path / "all.png")) == 0
    assert equal(plain, whole) and not equal(plain, masked)

    original = learning.train

    def interrupted(*arguments):
        next(original(*arguments))
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(learning, "train", interrupted)
    assert train(tmp_path / "run.safetensors", "--mask", str(tmp_path / "left.png")) == 130
    monkeypatch.undo()
    capsys.readouterr()
    assert train(tmp_path / "run.safetensors", "--resume") == 2
    assert "differs in its mask: resume with the same mask" in capsys.readouterr().err


def test_bad_masks(train, tmp_path: Path, capsys) -> None:
    Image.new("L", (9, 9)).save(tmp_path / "black.png")
    write_video(tmp_path / "long.mp4", torch.full((3, 32, 32, 3), 255, dtype=torch.uint8), 8)
    for name, message in (
        ("black.png", "some that are not 0"),
        ("long.mp4", "--mask long.mp4 has 3 frames, but the clip has 4"),
        ("none.png", "none.png"),
    ):
        assert train(tmp_path / "a.safetensors", "--mask", str(tmp_path / name)) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "a.safetensors").exists()


# Candidates


@pytest.fixture
def scores(monkeypatch):
    """Candidates get these scores, one after another, instead of sampled ones."""

    def arrange(*values: float) -> None:
        coming = iter(values)
        monkeypatch.setattr(candidates, "FidelityMinusLeak", lambda *a, **k: lambda embedding: next(coming))
        monkeypatch.setattr(generate, "invert_clip", lambda model, latents: latents)  # fifty steps that nobody sees

    return arrange


@pytest.fixture
def stopped_at(monkeypatch):
    """Run something that Ctrl-C ends after a step, before its candidate is taken."""

    def run(step: int, something: Callable[[], int]) -> None:
        original = learning._keep

        def interrupted(keeper, state, out):
            if state.step == step:
                raise KeyboardInterrupt
            return original(keeper, state, out)

        with monkeypatch.context() as patched:
            patched.setattr(learning, "_keep", interrupted)
            assert something() == 130

    return run


BEST = ("--keep-best", "a star", "a moon", "--every", "2")


def test_checkpoints_along_the_way(train, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    assert train(out, "--steps", "5", "--every", "2") == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.safetensors"] + [
        f"a.step{n}.safetensors" for n in (2, 4, 5)
    ]
    assert equal(out, tmp_path / "a.step5.safetensors") and not equal(out, tmp_path / "a.step4.safetensors")
    assert load_embedding(tmp_path / "a.step4.safetensors").origin.trained_steps == 4


def test_the_best_is_kept_and_training_ends_early(train, scores, tmp_path: Path, capsys) -> None:
    out = tmp_path / "a.safetensors"
    scores(0.2, 0.7, 0.6, 0.5, 0.9)
    assert train(out, "--steps", "10", *BEST, "--patience", "2", "--json") == 0
    summary = json.loads(capsys.readouterr().out)["details"]
    assert (summary["trained_steps"], summary["score"], summary["scored_by"]) == (4, 0.7, ["a star", "a moon"])
    assert equal(out, tmp_path / "a.step4.safetensors") and not (tmp_path / "a.step10.safetensors").exists()
    assert load_embedding(tmp_path / "a.step8.safetensors").origin.score == 0.5
    assert not learning.checkpoint_of(out).exists()


@pytest.mark.parametrize("stop", [3, 4])
def test_a_resumed_run_remembers_its_candidates(stop: int, train, scores, stopped_at, tmp_path: Path) -> None:
    """Stopped between two candidates, or while the second was being scored."""
    straight, broken = tmp_path / "straight.safetensors", tmp_path / "broken.safetensors"
    scores(0.2, 0.7, 0.6)
    assert train(straight, "--steps", "6", *BEST) == 0
    scores(0.2)
    stopped_at(stop, lambda: train(broken, "--steps", "6", *BEST))
    scores(0.7, 0.6)
    assert train(broken, "--steps", "6", *BEST, "--resume") == 0
    assert load_embedding(broken).origin.trained_steps == 4 and equal(straight, broken)
    assert load_embedding(tmp_path / "broken.step2.safetensors").origin.score == 0.2


def test_candidates_of_another_run_are_not_mistaken_for_this_ones(train, scores, stopped_at, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    scores(0.9, 0.8)
    assert train(out, "--steps", "4", "--seed", "1", *BEST) == 0
    left_over = (tmp_path / "a.step2.safetensors").read_bytes()
    scores(0.1)
    stopped_at(3, lambda: train(out, "--steps", "4", *BEST))
    (tmp_path / "a.step2.safetensors").write_bytes(left_over)
    scores(0.2)
    assert train(out, "--steps", "4", *BEST, "--resume") == 0
    assert load_embedding(out).origin.score == 0.2


def test_other_prompts_for_scoring_are_another_run(train, scores, stopped_at, tmp_path: Path, capsys) -> None:
    out = tmp_path / "a.safetensors"
    scores(0.1)
    stopped_at(3, lambda: train(out, *BEST))
    capsys.readouterr()
    assert train(out, "--keep-best", "a cross", "--every", "2", "--resume") == 2
    assert "resume with the same prompts of --keep-best" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--patience", "2"), "--patience needs scores"),
        (("--every", "0"), "every is 0"),
        (("--keep-best", "x", "--patience", "-1"), "patience is -1"),
        (("--timestep-bias", "-1"), "timestep_bias is -1"),
        (("--motion-mask", "-1"), "motion_mask is -1"),
    ],
)
def test_bad_options(options, message: str, train, scores, tmp_path: Path, capsys) -> None:
    scores()
    assert train(tmp_path / "a.safetensors", *options) == 2
    assert message in capsys.readouterr().err


def test_what_rests_is_not_told_from_the_background_and_that_is_said(folder: str, tmp_path: Path, capsys) -> None:
    rests = torch.full((4, 32, 32, 3), 255, dtype=torch.uint8)
    for i, x in enumerate((0, 0, 0, 20)):
        rests[i, 8:24, x : x + 8] = 0
    write_video(tmp_path / "rests.mp4", rests, 8)
    given = ["train", str(tmp_path / "rests.mp4"), "--prompt", "a bar", "--model", folder, *SMALL, "--steps", "1"]
    out = str(tmp_path / "a.safetensors")
    assert main([*given, "--out", out, "--width", "32", "--height", "32", "--look", "neutral_background"]) == 0
    assert "lies in pieces" in capsys.readouterr().err


def test_stand_ins_are_learned_from_without_a_prompt(folder: str, tmp_path: Path, capsys) -> None:
    write_video(tmp_path / "clip.mp4", rendered_case("zigzag", 1, 5, 64).frames, 8)
    given = ["--model", folder, *SMALL, "--steps", "2", "--width", "64", "--height", "64", "--look", "stand_ins"]
    out, sheet = tmp_path / "a.safetensors", tmp_path / "sheet.png"
    one = ["train", str(tmp_path / "clip.mp4"), *given, "--out", str(out), "--look-preview", str(sheet)]
    assert main(one) == 0
    origin = load_embedding(out).origin
    assert origin.trained_steps == 2 and origin.source == "clip.mp4"
    assert origin.prompt is not None and origin.prompt.count(" plain background") == 8
    with Image.open(sheet) as shown:
        assert shown.height > 9 * 64 / 2
    # A folder needs no prompts either, and what was learned before is known again.
    for _ in range(2):
        (tmp_path / "clips").mkdir(exist_ok=True)
        write_video(tmp_path / "clips" / "clip.mp4", rendered_case("zigzag", 1, 5, 64).frames, 8)
        assert main(["train", str(tmp_path / "clips"), *given, "--out", str(tmp_path / "motions")]) == 0
    assert "was learned before" in capsys.readouterr().out
    still = torch.full((5, 64, 64, 3), 90, dtype=torch.uint8)
    write_video(tmp_path / "still.mp4", still, 8)
    assert main(["train", str(tmp_path / "still.mp4"), *given, "--out", str(out)]) == 2
    assert "Nothing in the clip moves" in capsys.readouterr().err


def test_a_look_changes_what_is_learned_and_belongs_to_the_run(train, tmp_path: Path, capsys) -> None:
    plain, grey, sheet = tmp_path / "plain.safetensors", tmp_path / "grey.safetensors", tmp_path / "sheet.png"
    assert train(plain) == 0
    assert train(grey, "--look", "neutral_background", "--look-preview", str(sheet)) == 0
    assert not equal(plain, grey) and sheet.is_file()
    assert "lies in pieces" not in capsys.readouterr().err
    drawn = tmp_path / "drawn.safetensors"
    assert train(drawn, "--look", "redrawn") == 0 and not equal(plain, drawn)
    assert load_embedding(plain).origin.clip_sha256 != load_embedding(grey).origin.clip_sha256
    capsys.readouterr()
    for options, words in [
        (("--look", "flat_object", "--preset", "camera"), "how the camera moves"),
        (("--look", "stand_ins", "--preset", "camera"), "how the camera moves"),
        (("--look-mask", "x.png"), "choose one"),
        (("--look", "redrawn", "--look-mask", "x.png"), "choose one"),
        (("--look", "flat_object", "--look-mask", "x.png"), "x.png"),
        (("--look-preview", str(tmp_path)), tmp_path.name),
    ]:
        assert train(tmp_path / "a.safetensors", *options) == 2
        assert words in capsys.readouterr().err
