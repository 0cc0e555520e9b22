"""`read`: a clip's motion in one pass, into a file that says what was read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from motion_lib.benchmark.cases import foreign_case
from motion_lib.bundled.samples import SAMPLES
from motion_lib.cli import main
from motion_lib.files.embedding_file import load_embedding

EIGHT, PAN = (str(SAMPLES[name].path) for name in ("figure_eight", "camera_pan"))


def read(video: str, out: Path, capsys, *options: str) -> dict:
    assert main(["read", video, "--out", str(out), "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_object_and_a_camera(tmp_path: Path, capsys) -> None:
    said = read(PAN, tmp_path / "pan.safetensors", capsys)
    assert said["preset"] == "camera" and said["fits"] == "sprite_t2v"
    assert {"pans", "right"} <= set(said["words"]["camera"].split())
    assert read(EIGHT, tmp_path / "eight.safetensors", capsys)["preset"] == "object"


def test_the_file_says_what_was_read(tmp_path: Path, capsys) -> None:
    out = tmp_path / "eight.safetensors"
    said = read(EIGHT, out, capsys)
    reading = load_embedding(out).origin.reading
    assert reading["words"] == said["words"]
    assert reading["distance"] == pytest.approx(said["distance"], abs=1e-4)


def test_the_camera_of_another_clip(tmp_path: Path, capsys) -> None:
    paths = [tmp_path / f"{name}.safetensors" for name in ("eight", "pan", "both")]
    read(EIGHT, paths[0], capsys)
    read(PAN, paths[1], capsys)
    said = read(EIGHT, paths[2], capsys, "--camera-from", PAN)
    eight, pan, both = (load_embedding(path).origin for path in paths)
    assert both.reading["object"] == eight.reading["object"]
    assert both.reading["camera"] == pan.reading["camera"] != eight.reading["camera"]
    assert said["preset"] == "hybrid" and "camera of" in both.source
    assert load_embedding(paths[2]).advice.noise_weight == 0  # the first clip's noise would hold the camera


def test_a_strange_clip_is_read_before_grey_unless_asked_otherwise(tmp_path: Path, capsys) -> None:
    frames = foreign_case("spiral", 1).frames
    folder = tmp_path / "clip"
    folder.mkdir()
    for i, frame in enumerate(frames):
        Image.fromarray(frame.numpy()).save(folder / f"{i:02}.png")
    said = read(str(folder), tmp_path / "auto.safetensors", capsys)
    assert said["look"] != "as_it_is" and said["distance"] <= said["farthest_seen"]
    plain = read(str(folder), tmp_path / "plain.safetensors", capsys, "--look", "as_it_is")
    assert plain["look"] == "as_it_is" and plain["distance"] > plain["farthest_seen"]
    assert main(["read", str(folder), "--out", str(tmp_path / "again.safetensors")]) == 0
    assert "plain grey" in capsys.readouterr().out


def test_what_is_no_encoder_or_clip_is_refused_and_nothing_written(tmp_path: Path, capsys) -> None:
    out = tmp_path / "m.safetensors"
    foreign = str(SAMPLES["figure_eight"].path.with_suffix(".safetensors"))
    for command in (["read", EIGHT, "--codes", foreign], ["read", str(tmp_path / "none.mp4")]):
        assert main([*command, "--out", str(out)]) != 0
        assert "Traceback" not in capsys.readouterr().err and not out.exists()
