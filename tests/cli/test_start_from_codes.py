"""`train --start-from-codes`: what training begins with, and what cannot be begun so."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from motion_lib.benchmark.cases import foreign_case
from motion_lib.bundled.samples import SAMPLES
from motion_lib.cli import main
from motion_lib.files.embedding_file import load_embedding

EIGHT = str(SAMPLES["figure_eight"].path)


def command(out: Path, *options: str, model: str = "sprite_t2v") -> list[str]:
    return ["train", EIGHT, "--prompt", "a ring", "--model", model, "--out", str(out), *options]


def test_the_file_says_what_it_was_started_from(tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    assert main(command(out, "--start-from-codes", "--steps", "1")) == 0
    origin = load_embedding(out).origin
    assert origin.started_from and origin.started_from.startswith("codes ") and origin.reading["object"]


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
        (["--frames", "13"], "sprite_wan", "What this encoder of motion codes makes"),
    ],
)
def test_what_cannot_be_started_from_codes(options: list[str], model: str, said: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "m.safetensors"
    assert main(command(out, "--start-from-codes", "--steps", "1", *options, model=model)) != 0
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err and not out.exists()
