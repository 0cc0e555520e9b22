"""Bad input is one clear sentence and exit code 2, and leaves nothing half-written."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from motion_lib.cli import main
from motion_lib.video import write_video
from tests.cli.conftest import SMALL


def complaint(capsys, *arguments: str) -> str:
    """The sentence a command ends with; fails unless it is one, with exit code 2 and no traceback."""
    capsys.readouterr()
    assert main(list(arguments)) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.replace("\r", "\n").splitlines() if line.startswith("motion-inversion: ")]
    assert len(lines) == 1 and "Traceback" not in captured.err and not captured.out
    return lines[0]


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def learn(folder: str, video: str, *options: str) -> list[str]:
    return ["train", video, "--prompt", "x", "--model", folder, "--out", "out.safetensors", *SMALL, *options]


def test_not_a_video(folder: str, here: Path, capsys) -> None:
    Path("notes.mp4").write_text("hello")
    assert "notes.mp4" in complaint(capsys, *learn(folder, "notes.mp4"))
    assert "missing.mp4" in complaint(capsys, *learn(folder, "missing.mp4"))
    assert not Path("out.safetensors").exists()


def test_truncated_video(folder: str, clip: str, here: Path, capsys) -> None:
    Path("cut.mp4").write_bytes(Path(clip).read_bytes()[:200])
    assert "cut.mp4" in complaint(capsys, *learn(folder, "cut.mp4"))


def test_too_short_a_video(folder: str, here: Path, capsys) -> None:
    write_video("one.mp4", torch.zeros(1, 32, 32, 3, dtype=torch.uint8), 8)
    sentence = complaint(capsys, *learn(folder, "one.mp4"))
    assert "one.mp4 has 1 frames" in sentence and "4 are needed" in sentence


def test_sizes_the_autoencoder_cannot_divide(folder: str, clip: str, here: Path, capsys) -> None:
    assert "multiples of 2" in complaint(capsys, *learn(folder, clip), "--width", "17")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--steps", "0"), "steps is 0"),
        (("--learning-rate", "-1"), "learning_rate is -1"),
        (("--sites", "nowhere"), "sites is 'nowhere'"),
        (("--timesteps", "900", "100"), "timesteps are 900 to 100"),
        (("--device", "toaster"), "--device toaster"),
    ],
)
def test_bad_training_options(options, word: str, folder: str, clip: str, here: Path, capsys) -> None:
    assert word in complaint(capsys, *learn(folder, clip, *options))
    assert not Path("out.safetensors").exists()


def test_wrong_model_folders_say_what_is_missing(clip: str, here: Path, capsys) -> None:
    Path("empty").mkdir()
    sentence = complaint(capsys, *learn("empty", clip))
    assert "unet/config.json" in sentence and "vae/config.json" in sentence
    assert "sprite_t2v" in complaint(capsys, *learn("nowhere", clip))


def test_an_embedding_for_another_model_names_both(motion: str, here: Path, capsys) -> None:
    sentence = complaint(capsys, "generate", "--motion", motion, "--prompt", "x", "--out", "a.mp4", "--steps", "1")
    assert "8-16-32 channels" in sentence and "(48-80-112-" in sentence and "bar.safetensors" in sentence
    assert not Path("a.mp4").exists()


def test_damaged_embedding_files(folder: str, motion: str, here: Path, capsys) -> None:
    whole = Path(motion).read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])
    huge = json.loads(json.dumps(header))
    key = next(name for name in huge if name != "__metadata__")
    huge[key]["shape"] = [1 << 20, 1 << 20]
    huge[key]["data_offsets"] = [0, 1 << 41]
    damaged = {
        "header.safetensors": whole[: length // 2],
        "data.safetensors": whole[:-100],
        "empty.safetensors": b"",
        "huge_header.safetensors": struct.pack("<Q", 1 << 40) + whole[8:],
        "huge_tensor.safetensors": struct.pack("<Q", len(json.dumps(huge)))
        + json.dumps(huge).encode()
        + whole[8 + length :],
        "text.safetensors": b"not a tensor file at all",
    }
    for name, content in damaged.items():
        Path(name).write_bytes(content)
        assert name in complaint(capsys, "inspect", name)
        assert name in complaint(capsys, "generate", "--motion", name, "--prompt", "x", "--out", "a.mp4")
    assert not Path("a.mp4").exists()


def test_embeddings_with_nan(motion: str, here: Path, capsys) -> None:
    from safetensors import safe_open

    with safe_open(motion, "pt") as file:
        header = file.metadata()
    tensors = load_file(motion)
    key = next(iter(tensors))
    tensors[key][0, 0, 0] = float("nan")
    save_file(tensors, "nan.safetensors", header)
    sentence = complaint(capsys, "inspect", "nan.safetensors")
    assert key in sentence and "NaN" in sentence


def test_another_kind_of_safetensors_file(here: Path, capsys) -> None:
    save_file({"weight": torch.zeros(2)}, "lora.safetensors")
    assert "lora.safetensors" in complaint(capsys, "inspect", "lora.safetensors")


def test_unwritable_output(folder: str, clip: str, motion: str, here: Path, capsys) -> None:
    Path("file").write_text("in the way")
    options = ["--model", folder, "--prompt", "x", "--steps", "1", "--guidance", "1", *SMALL]
    assert "file" in complaint(capsys, "generate", *options, "--out", "file/a.mp4")
    assert "a.xyz" in complaint(capsys, "generate", *options, "--out", "a.xyz")
    sentence = complaint(capsys, *learn(folder, clip, "--steps", "1"), "--out", "file/out.safetensors")
    assert "Cannot write" in sentence
    assert sorted(path.name for path in here.iterdir()) == ["file"]


def test_a_full_disk(folder: str, clip: str, here: Path, capsys, monkeypatch) -> None:
    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    sentence = complaint(capsys, *learn(folder, clip, "--steps", "1"))
    assert "No space left on device" in sentence and list(here.iterdir()) == []


def test_noise_weight_without_a_reference(folder: str, motion: str, here: Path, capsys) -> None:
    options = ["generate", "--model", folder, "--motion", motion, "--prompt", "x", "--out", "a.mp4", *SMALL]
    assert "--reference" in complaint(capsys, *options, "--noise-weight", "0.5")


def test_evaluating_unequal_lengths(clip: str, here: Path, capsys) -> None:
    write_video("long.mp4", torch.randint(0, 255, (6, 32, 32, 3), dtype=torch.uint8), 8)
    assert "4 frames" in complaint(capsys, "evaluate", clip, "long.mp4")


@pytest.mark.parametrize("place", [1, 2])
def test_evaluating_a_video_without_a_name(place: int, clip: str, here: Path, capsys) -> None:
    command = ["evaluate", clip, clip]
    command[place] = ""
    assert "The folder . has no images" in complaint(capsys, *command)


def test_converting_something_else(here: Path, capsys) -> None:
    Path("a.pt").write_bytes(b"not a pickle")
    assert "a.pt" in complaint(capsys, "convert", "a.pt", "b.safetensors")
    assert not Path("b.safetensors").exists()


def test_latents_that_are_not_finite(folder: str, clip: str, here: Path, capsys, monkeypatch) -> None:
    from motion_lib.backbones import VideoModel

    monkeypatch.setattr(VideoModel, "encode_video", lambda self, frames: torch.full((1, 4, 4, 8, 8), float("nan")))
    assert "NaN" in complaint(capsys, *learn(folder, clip))
