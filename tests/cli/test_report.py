"""The report of a model on a machine: all that it should say, nothing that it should not, and small."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest
from PIL import Image

from motion_lib.bundled.samples import SAMPLES
from motion_lib.cli import main, report

FEW = ["--frames", "4", "--width", "64", "--height", "64", "--device", "cpu", "--quick"]
SECRET = "a secret robot"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "QUICK_STEPS", 2)
    monkeypatch.setattr(report, "QUICK_SAMPLING_STEPS", 2)


@pytest.mark.usefixtures("quick")
def test_it_says_what_is_needed_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "private_holiday.mp4"
    clip.write_bytes(SAMPLES["figure_eight"].path.read_bytes())
    out = tmp_path / "out"
    assert main(["report", str(clip), "--prompt", SECRET, "--say", SECRET, "--out", str(out), *FEW]) == 0
    assert "bit for bit as it was: yes" in capsys.readouterr().out
    text = (out / "report.json").read_text()
    found = json.loads(text)
    assert found["unpatched_bit_identical"] is True and found["unpatched_finite"] is True
    assert found["model"]["name"] == "sprite_t2v" and found["model"]["sites"] > 3
    training = found["training"]
    assert training["steps"] == len(training["losses"]) == 2 and training["seconds_per_step"] > 0
    assert training["estimated_bytes"] > 10_000 and training["settings"]["steps"] == 2
    assert found["sampling"]["steps"] == 2 and {"torch", "diffusers", "python"} <= found["versions"].keys()
    assert {"with", "without"} == found["videos"][0].keys()
    for private in (SECRET, "holiday", str(tmp_path), str(Path.home()), platform.node()):
        assert private not in text
    assert "prompts" not in found and found["clip"]["bundled"] is False
    files = {file.name: file.stat().st_size for file in out.iterdir()}
    assert files.keys() == {"report.json", "sheet.jpg"} and sum(files.values()) < 1_000_000
    with Image.open(out / "sheet.jpg") as sheet:
        assert sheet.width > 200 and not sheet.getexif()


@pytest.mark.usefixtures("quick")
def test_prompts_and_pictures_are_as_the_user_allows(tmp_path: Path) -> None:
    command = ["report", "--say", SECRET, "--with-prompts", "--no-sheet", "--out", str(tmp_path / "out"), *FEW]
    assert main(command) == 0
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert found["prompts"]["videos"] == [SECRET] and found["clip"]["bundled"] is True
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["report.json"]


def test_a_clip_needs_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "clip.mp4", "--out", str(tmp_path / "out")]) == 2
    assert "say it with --prompt" in capsys.readouterr().err and not (tmp_path / "out").exists()
