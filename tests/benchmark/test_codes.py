"""What one pass reads, measured by one command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from motion_lib.cli import main
from motion_lib.codes.looks import READ_LOOKS

ONE = ["--motions", "figure_eight", "--prompts", "1", "--seeds", "1"]


@pytest.mark.usefixtures("encoder")
def test_the_command_measures_codes_videos_and_crossed_clips(small: list[str], tmp_path: Path, capsys) -> None:
    command = ["benchmark", "codes", *small, *ONE, "--out", str(tmp_path), "--quick", "--groups", "2", "--steps", "1"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "| R² of the path |" in text and "| found by its words among the first five |" in text
    assert "| redrawn | 1 |" in text and "| auto | 1 |" in text
    looks = {row["read"]: row for row in json.loads((tmp_path / "looks.json").read_text())}
    assert looks.keys() == set(READ_LOOKS) and looks["auto"]["as"] in looks
    assert all(math.isfinite(row["distance"]) and abs(row["path"]) <= 1 for row in looks.values())
    rows = [line.split(" | ")[0] for line in (tmp_path / "table.csv").read_text().splitlines()]
    names = [row.split(",")[0] for row in rows[1:]]
    assert names == ["no_motion", "one_pass", "1 steps from codes", "1 steps from nothing", "object"]
    report = json.loads((tmp_path / "crossed" / "report.json").read_text())
    assert [case["name"] for case in report["cases"]] == ["figure_eight under pan"]
    assert report["methods"].keys() == {"no_motion", "one_pass", "hybrid"}
    kept = (tmp_path / "probes.json").stat().st_mtime_ns
    assert main(command) == 0  # all is there already
    assert capsys.readouterr().out.split("Look at")[0] == text.split("Look at")[0]
    assert (tmp_path / "probes.json").stat().st_mtime_ns == kept


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--steps", "0"], "--steps is 0, but each number of steps must be at least 1"),
        (["--groups", "1"], "--groups is 1, but it must be 0 or at least 2"),
        (["--groups", "0", "--looks", "-1"], "--looks is -1, but it must be at least 0"),
        (["--groups", "2"], "none comes with tiny"),
        (["--groups", "0", "--codes", "nowhere.safetensors"], "nowhere.safetensors"),
    ],
)
def test_bad_input_is_one_sentence(given: list[str], sentence: str, small: list[str], tmp_path: Path, capsys) -> None:
    assert main(["benchmark", "codes", *small, *ONE, "--out", str(tmp_path), *given]) == 2
    error = capsys.readouterr().err
    assert sentence in error and "Traceback" not in error
