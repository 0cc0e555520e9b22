"""`train --start-from-codes`: what training begins with, and what cannot be begun so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from motion_lib.benchmark.cases import foreign_case
from motion_lib.bundled.samples import SAMPLES
from motion_lib.cli import main
from motion_lib.files.embedding_file import load_embedding, read

EIGHT = str(SAMPLES["figure_eight"].path)


def command(out: Path, *options: str, model: str = "sprite_t2v") -> list[str]:
    return ["train", EIGHT, "--prompt", "a ring", "--model", model, "--out", str(out), *options]


def test_the_file_says_what_it_was_started_from(tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    assert main(command(out, "--start-from-codes", "--steps", "1")) == 0
    origin = load_embedding(out).origin
    assert origin.started_from and origin.started_from.startswith("codes ") and origin.reading["object"]


def test_carrying_on_begins_with_the_same_codes(stop_after, monkeypatch, tmp_path: Path, capsys) -> None:
    """Bit for bit as if it had not been stopped, and not with a run that began with nothing."""
    straight, broken = tmp_path / "straight.safetensors", tmp_path / "broken.safetensors"
    few = ["--steps", "3"]
    assert main(command(straight, "--start-from-codes", *few)) == 0
    stop_after(1)
    assert main(command(broken, "--start-from-codes", *few)) == 130
    monkeypatch.undo()
    capsys.readouterr()
    assert main(command(broken, "--resume", *few)) == 2
    assert "differs in" in capsys.readouterr().err
    assert main(command(broken, "--start-from-codes", "--resume", *few)) == 0
    one, two = read(straight)[0], read(broken)[0]
    assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("look", ["as_it_is", "neutral_background"])
def test_training_on_a_strange_clip_as_it_is_is_warned_of(look: str, tmp_path: Path, capsys) -> None:
    for i, frame in enumerate(foreign_case("zigzag", 1).frames):
        Image.fromarray(frame.numpy()).save(tmp_path / f"{i:02}.png")
    out = tmp_path / "out" / "m.safetensors"
    given = ["train", str(tmp_path), "--prompt", "a shape", "--out", str(out), "--look", look, "--steps", "1"]
    assert main([*given, "--start-from-codes"]) == 0
    said = "may lose what was read: add --look neutral_background, or use `read`" in capsys.readouterr().err
    assert said == (look == "as_it_is")


@pytest.mark.parametrize(
    ("options", "model", "said"),
    [
        (["--sites", "all"], "sprite_t2v", "leave sites, components and axes as the preset object has them"),
        (["--width", "64", "--height", "64"], "sprite_t2v", "and the size as the model's own"),
        (["--frames", "13"], "sprite_wan", "What this encoder of motion codes makes"),
    ],
)
def test_what_cannot_be_started_from_codes(options: list[str], model: str, said: str, tmp_path: Path, capsys) -> None:
    if model == "sprite_wan":
        pytest.importorskip("diffusers", minversion="0.35", reason="older ones have no Wan")
    out = tmp_path / "m.safetensors"
    assert main(command(out, "--start-from-codes", "--steps", "1", *options, model=model)) != 0
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err and not out.exists()
