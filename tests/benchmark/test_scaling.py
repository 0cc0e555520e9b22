"""How the rate of learning a library grows with processes, on a model of toy size."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from motion_lib.cli.benchmark import scaling
from motion_lib.errors import MotionError
from motion_lib.files.embedding_file import load_embedding


def measured(*options: str) -> None:
    parser = argparse.ArgumentParser()
    scaling.add_arguments(parser)
    scaling.run(parser.parse_args(["--small", "--steps", "2", *options]))


def test_two_processes_learn_all_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured("--processes", "2", "--clips", "2", "--out", str(tmp_path))
    (found,) = json.loads((tmp_path / "scaling.json").read_text())
    assert found["processes"] == 2 and found["clips"] == 4 and found["per_minute"] > 0
    assert f"| 2 | {found['per_minute']:.2f} | – |" in capsys.readouterr().out
    learned = [load_embedding(file) for file in (tmp_path / "2_processes" / "library").glob("*.safetensors")]
    assert len({embedding.origin.clip_sha256 for embedding in learned}) == 4


def test_what_went_wrong_is_kept(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match=r"Only 0 of 2 clips were learned: .*log.txt says why"):
        measured("--processes", "1", "--clips", "2", "--model", "nowhere", "--out", str(tmp_path))
    assert "There is no model folder nowhere" in (tmp_path / "1_processes" / scaling.LOG).read_text()


def test_the_first_clip_of_every_process_is_not_counted() -> None:
    assert scaling.rate([30.0, 40.0, 50.0], 1) == 6.0
    assert scaling.rate([30.0, 31.0, 40.0, 41.0], 2) == 12.0
    one, two = scaling.Scaled(1, 3, 6.0), scaling.Scaled(2, 6, 11.4)
    assert scaling.row(two, [one, two]) == "| 2 | 11.40 | 0.950 |"


def test_too_few() -> None:
    with pytest.raises(MotionError, match="1 clips for each of 2 processes are too few"):
        measured("--clips", "1", "--processes", "2")
