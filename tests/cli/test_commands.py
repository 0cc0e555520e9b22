"""The commands, run as a user would on a small model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from motion_lib import load_embedding
from motion_lib.cli import COMMANDS, main
from motion_lib.cli.demo import QUICK_GUIDANCE, QUICK_STRENGTH
from motion_lib.diffusion.noise import START_NOISES
from motion_lib.files.embedding_file import save_embedding
from motion_lib.training.presets import PRESETS
from motion_lib.video import read_clip
from tests.cli.conftest import SMALL
from tests.tiny import random_embedding, said_by, saying, tiny_backbone


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_is_for_and_explains_every_option(command: str, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and "example" in text
    parser = __import__("argparse").ArgumentParser()
    COMMANDS[command].add_arguments(parser)
    assert all(action.help for action in parser._actions)


def test_module_runs_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "motion_lib", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("motion-inversion 0.")


def test_training_writes_a_file_that_says_how_it_was_made(motion: str, clip: str) -> None:
    embedding = load_embedding(motion)
    details = said_by(embedding)
    assert embedding.frames == 4 and details["trained_steps"] == 4
    assert details["prompt"] == "a bar" and details["source"] == Path(clip).name
    assert (details["width"], details["height"], details["fps"]) == (16, 16, 8)
    assert details["thumbnail"].startswith("data:image/jpeg;base64,")
    assert any(bool(t.any()) for t in embedding.tensors.values())


def test_two_dashes_are_no_value(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "clip.mp4", "--prompt", "a bar", "--loss=--"])
    assert stop.value.code == 2 and "--loss" in capsys.readouterr().err


def test_inspect_prints_no_pages_of_what_a_file_says_of_itself(motion: str, tmp_path: Path, capsys) -> None:
    embedding = load_embedding(motion)
    evil = {"x" * 9000: 1, "deep": [[[[1] * 50_000]]], "long": "y" * 10**6, **{f"n{i}": "z" * 900 for i in range(2000)}}
    path = tmp_path / "evil.safetensors"
    save_embedding(path, saying(embedding, {**said_by(embedding), **evil}))
    assert main(["inspect", str(path), "--json"]) == 0
    printed = capsys.readouterr().out
    details = json.loads(printed)["details"]
    assert len(printed) < 100_000
    assert details["prompt"] == embedding.origin.prompt and details["n0"] == evil["n0"]
    assert details["long"] == "left out: it takes 1000002 characters"


def test_inspect_prints_json_without_the_picture(motion: str, capsys) -> None:
    assert main(["inspect", motion, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["frames"] == 4 and summary["details"]["preset"] == "object" and "thumbnail" not in summary["details"]
    assert summary["bytes"] == Path(motion).stat().st_size


def test_inspect_prints_lines(motion: str, capsys) -> None:
    assert main(["inspect", motion]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "frames: 4" in lines and lines.index("the file says of itself:") < lines.index("  preset: object")


def test_what_a_file_says_cannot_pass_for_what_was_found(tmp_path: Path, capsys) -> None:
    evil = {
        "title": "a\nfits: any model\x1b[2J\u202etfil",
        "file": "other.safetensors",
        "fits": "any\ud800",
        "bytes": 1,
    }
    path = tmp_path / "a.safetensors"
    save_embedding(path, saying(random_embedding(tiny_backbone()), {**evil, "\x1b]0;x": {"deep": "\r\u2028"}}))
    assert main(["inspect", str(path)]) == 0
    printed = capsys.readouterr().out
    said = printed.splitlines().index("the file says of itself:")
    for number, line in enumerate(printed.splitlines()):
        assert line.startswith("  ") == (number > said) and line.isprintable()
    assert [line for line in printed.splitlines() if line.startswith("fits: ")] == [
        "fits: unet3d (8-16-32 channels, 8 temporal layers)"
    ]
    assert "  title: a\\nfits: any model\\u001b[2J\\u202etfil" in printed.splitlines()
    assert main(["inspect", str(path), "--json"]) == 0
    printed = capsys.readouterr().out
    assert all(character.isprintable() for character in printed.replace("\n", ""))
    summary = json.loads(printed)
    assert summary["file"] == str(path) and summary["bytes"] == path.stat().st_size
    assert summary["details"] == {**evil, "fits": "any\ufffd", "\x1b]0;x": {"deep": "\r\u2028"}}


def _generate(folder: str, out: Path, *options: str) -> torch.Tensor:
    common = ["--model", folder, "--prompt", "a star", "--steps", "2", "--guidance", "2", "--seed", "3", *SMALL]
    assert main(["generate", "--out", str(out), *common, *options]) == 0
    return read_clip(out).frames


def test_motion_acts_and_strength_zero_is_no_motion_bit_for_bit(folder: str, motion: str, tmp_path: Path) -> None:
    plain = _generate(folder, tmp_path / "plain.webm")
    strong = ["--strength-qk", "3", "--strength-v", "3", "--debias", "vanilla", "--end", "1"]
    moved = _generate(folder, tmp_path / "moved.webm", "--motion", motion, *strong)
    none = _generate(folder, tmp_path / "none.webm", "--motion", motion, "--strength-qk", "0", "--strength-v", "0")
    assert torch.equal(plain, none) and not torch.equal(plain, moved)
    assert (tmp_path / "plain.webm").read_bytes() == (tmp_path / "none.webm").read_bytes()


def test_inversion_noise_needs_and_uses_the_reference(folder: str, motion: str, clip: str, tmp_path: Path) -> None:
    advice = str(PRESETS["object"].application.noise_weight)
    without = _generate(folder, tmp_path / "a.webm", "--motion", motion, "--reference", clip, "--noise-weight", "0")
    advised = _generate(folder, tmp_path / "b.webm", "--motion", motion, "--reference", clip)
    explicit = _generate(folder, tmp_path / "c.webm", "--motion", motion, "--reference", clip, "--noise-weight", advice)
    assert torch.equal(advised, explicit) and not torch.equal(without, advised)


@pytest.mark.parametrize("noise", START_NOISES)
def test_every_start_noise_says_how_white_it_is(
    noise: str, folder: str, motion: str, clip: str, tmp_path: Path, capsys
) -> None:
    options = ["--motion", motion, "--reference", clip, "--noise-weight", "0.5", "--noise", noise, "--json"]
    plain = _generate(folder, tmp_path / "plain.webm", *options)
    seen = json.loads(capsys.readouterr().out)["noise_statistics"]
    assert 1e-4 < abs(seen["deviation"] - 1) < 1
    normal = _generate(folder, tmp_path / "normal.webm", *options, "--renormalise")
    seen = json.loads(capsys.readouterr().out)["noise_statistics"]
    assert abs(seen["mean"]) < 1e-5 and seen["deviation"] == pytest.approx(1, abs=1e-5)
    assert not torch.equal(plain, normal)


def test_evaluate_compares_two_videos(tmp_path: Path, capsys) -> None:
    from motion_lib.bundled.samples import SAMPLES

    sample = SAMPLES["figure_eight"]
    assert main(["evaluate", str(sample.path), str(sample.path), "--prompt", sample.prompt, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["path_correlation"] == pytest.approx(1) and scores["motion_fidelity"] > 0.99
    assert scores["speed_error"] == 0 and scores["size_correlation"] == pytest.approx(1)
    assert scores["caption"] == {"shape": True, "colour": True, "tone": True, "texture": True}


def test_convert_writes_a_loadable_file(tmp_path: Path, capsys) -> None:
    qk = torch.randn(1, 8, 1280)
    v = torch.randn(40, 8, 1280)
    qk[:, 6:] = 0
    v[:, 6:] = 0
    layer = "mid_block.temp_attentions.0.transformer_blocks.0"
    pickled = {f"{layer}.attn1.qk": qk, f"{layer}.attn1.v": v, f"{layer}.attn2.v": v}
    torch.save(pickled, tmp_path / "motion_embed.pt")
    out = tmp_path / "out.safetensors"
    assert main(["convert", str(tmp_path / "motion_embed.pt"), str(out), "--grid", "5x8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 6
    assert load_embedding(out).frames == 6


def test_demo_writes_everything_it_promises(tmp_path: Path, capsys, all_cores) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--steps", "2", "--sampling-steps", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    report = json.loads((out / "report.json").read_text())
    assert printed == report and len(report["prompts"]) == 3
    assert report["apply"]["strength_v"] == report["apply"]["strength_qk"] == QUICK_STRENGTH
    assert report["sampling"] == {"steps": 2, "guidance": QUICK_GUIDANCE}
    for row in report["prompts"]:
        for name in ("with", "without"):
            # After two steps there may be no object, and then no path.
            path = row[name]["path_correlation"]
            assert path is None or -1 <= path <= 1
            assert {f"{kind}_right" for kind in ("shape", "colour", "tone", "texture")} <= row[name].keys()
    assert set(report["seconds"]) == {"load", "train", "invert", "generate_without", "generate_with", "measure"}
    assert report["file_bytes"] == (out / "motion.safetensors").stat().st_size < 5_000_000
    expected = {"reference.mp4", "without_motion.mp4", "with_motion.mp4", "comparison.webp", "motion.safetensors"}
    assert {path.name for path in out.iterdir()} == expected | {"report.json"}
    assert read_clip(out / "with_motion.mp4").frames.shape[0] == 16


def test_evaluate_with_a_clip_model(tmp_path: Path, capsys) -> None:
    from motion_lib.bundled.samples import SAMPLES
    from tests.backbones.folders import build_clip

    sample = SAMPLES["figure_eight"]
    command = [
        "evaluate",
        str(sample.path),
        str(sample.path),
        "--text-model",
        str(build_clip(tmp_path / "clip")),
        "--json",
    ]
    assert main([*command, "--prompt", sample.prompt]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert -1 <= scores["text_similarity"] <= 1 and scores["neighbour_similarity"] <= 1
    assert main(command) == 0 and "text_similarity" not in json.loads(capsys.readouterr().out)
