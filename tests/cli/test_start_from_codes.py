"""`train --start-from-codes`: what training begins with, and what cannot be begun so."""

from __future__ import annotations

from pathlib import Path

import pytest

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
