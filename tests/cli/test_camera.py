"""`generate --camera`: the camera of a clip, with and without an embedding."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from motion_lib.cli import camera, main
from motion_lib.files.embedding_file import load_embedding, save_embedding
from motion_lib.method.records import Edit
from motion_lib.sprites import Words, render
from motion_lib.sprites.motions import reference
from motion_lib.video import read_clip, write_video
from tests.cli.conftest import SMALL


@pytest.fixture(scope="module")
def pan(tmp_path_factory) -> str:
    """Four frames of a camera that moves to the lower right: its background to the upper left."""
    scenes = reference("slow_diagonal_pan", Words("ring", "red", "grey", "checkered"), frames=16, seed=1)
    scenes.camera.neg_()
    path = tmp_path_factory.mktemp("clips") / "pan.mp4"
    write_video(path, (render(scenes)[0] * 255).round().byte().permute(0, 2, 3, 1)[4:8].contiguous(), 8)
    return str(path)


def generate(folder: str, out: Path, capsys, *options: str) -> tuple[torch.Tensor, dict]:
    common = ["--model", folder, "--prompt", "a star", "--steps", "2", "--guidance", "2", "--seed", "3", *SMALL]
    assert main(["generate", "--out", str(out), *common, "--json", *options]) == 0
    return read_clip(out).frames, json.loads(capsys.readouterr().out)


def test_a_camera_without_training(folder: str, pan: str, tmp_path: Path, capsys) -> None:
    plain, said = generate(folder, tmp_path / "plain.webm", capsys)
    moved, found = generate(folder, tmp_path / "moved.webm", capsys, "--camera", pan)
    off, _ = generate(folder, tmp_path / "off.webm", capsys, "--camera", pan, "--camera-end", "0")
    assert "camera" not in said and torch.equal(plain, off) and not torch.equal(plain, moved)
    rows = torch.tensor(found["camera"])
    assert rows.shape == (4, 4) and (rows[3, :2] < -0.05).all() and rows[3, 2:].abs().max() < 0.05
    back = generate(folder, tmp_path / "back.webm", capsys, "--camera", pan, "--camera-amount", "-1")[1]
    assert torch.tensor(back["camera"])[3, 0] == pytest.approx(-float(rows[3, 0]), abs=0.01)


def test_an_embedding_that_asks_for_its_references_camera(folder: str, pan: str, tmp_path: Path, capsys) -> None:
    motion = str(tmp_path / "pan.safetensors")
    command = ["train", pan, "--prompt", "a ring", "--model", folder, "--out", motion, *SMALL, "--steps", "2"]
    assert main([*command, "--preset", "hybrid"]) == 0
    capsys.readouterr()
    assert load_embedding(motion).advice.camera_end == 1.0
    given = ("--motion", motion, "--reference", pan)
    _, found = generate(folder, tmp_path / "a.webm", capsys, *given)
    assert found["camera_end"] == 1.0 and found["noise_weight"] == 0.3
    assert "camera" not in generate(folder, tmp_path / "b.webm", capsys, *given, "--camera-end", "0")[1]
    common = ["--model", folder, "--prompt", "a star", "--steps", "2", *SMALL, "--motion", motion]
    assert main(["generate", "--out", str(tmp_path / "c.webm"), *common]) == 0
    assert "give its clip with --reference" in capsys.readouterr().err


def test_the_camera_of_one_clip_and_the_object_of_another(
    folder: str, pan: str, clip: str, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What moves in the embedding's own clip, whose background cannot be followed, is left alone."""
    motion, kept = str(tmp_path / "object.safetensors"), []
    command = ["train", clip, "--prompt", "a ring", "--model", folder, "--out", motion, *SMALL, "--steps", "2"]
    assert main([*command, "--preset", "object"]) == 0
    capsys.readouterr()
    usual = camera.CameraAlignment.__call__
    monkeypatch.setattr(
        camera.CameraAlignment, "__call__", lambda self, *given: kept.append(self.apart) or usual(self, *given)
    )
    both = ("--motion", motion, "--camera", pan)
    _, found = generate(folder, tmp_path / "a.webm", capsys, *both, "--reference", clip)
    apart = kept[-1]
    assert found["camera_end"] == 1.0 and apart is not None and 0 < apart.mean() < 1
    made = ["generate", "--out", str(tmp_path / "b.webm"), "--model", folder, "--prompt", "a star", "--steps", "2"]
    assert main([*made, *SMALL, *both]) == 0
    assert kept[-1] is None and "Give the embedding's clip with --reference" in capsys.readouterr().err


def test_an_edited_embedding_does_not_get_the_unedited_camera(folder: str, pan: str, tmp_path: Path, capsys) -> None:
    motion, mirrored = tmp_path / "pan.safetensors", tmp_path / "mirrored.safetensors"
    command = ["train", pan, "--prompt", "a ring", "--model", folder, "--out", str(motion), *SMALL, "--steps", "2"]
    assert main([*command, "--preset", "camera"]) == 0
    embedding = load_embedding(motion)
    origin = replace(embedding.origin, made_from=(Edit("mirror", {"axis": "horizontal"}),))
    save_embedding(mirrored, replace(embedding, origin=origin))
    capsys.readouterr()
    made = ["generate", "--out", str(tmp_path / "m.webm"), "--model", folder, "--prompt", "a star", "--steps", "2"]
    assert main([*made, *SMALL, "--motion", str(mirrored), "--reference", pan]) == 0
    assert "was edited (mirror)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--camera", "{clip}"], "a background with a texture"),
        (["--camera", "{pan}", "--camera-end", "1.2"], "--camera-end is 1.2, but it must lie from 0 to 1"),
    ],
)
def test_bad_input(folder: str, pan: str, clip: str, tmp_path: Path, capsys, options: list[str], message: str) -> None:
    filled = [option.format(clip=clip, pan=pan) for option in options]
    out = tmp_path / "a.webm"
    status = main(["generate", "--out", str(out), "--model", folder, "--prompt", "a", *SMALL, "--steps", "2", *filled])
    assert status != 0 and message in capsys.readouterr().err and not out.exists()
