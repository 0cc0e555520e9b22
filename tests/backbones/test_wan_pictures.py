"""Models of Wan that take a first frame: a motion is learned beside the clip's own, and videos begin with a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("diffusers", minversion="0.35", reason="older ones have no Wan")

import torch
from PIL import Image

from motion_lib.backbones import load_model
from motion_lib.backbones.model import VideoModel
from motion_lib.cli import main
from motion_lib.diffusion.conditioning import PICTURE, Conditioning
from motion_lib.errors import MotionError
from motion_lib.files.embedding_file import load_embedding, save_embedding
from motion_lib.method.placement import placed
from motion_lib.training.identity import difference
from motion_lib.video import read_clip, write_video
from tests.backbones.folders import FEW_LEVELS, build
from tests.backbones.test_wan_folder import CLIP, as_diffusers_saves_it, as_single_files

OTHER = CLIP[3]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("models") / "unet", FEW_LEVELS)


@pytest.fixture(scope="module")
def folder(folders: Path) -> Path:
    return as_single_files(folders.parent / "taking", folders)


@pytest.fixture(scope="module")
def model(folder: Path) -> VideoModel:
    return load_model(folder)


def test_videos_begin_with_a_picture(model: VideoModel) -> None:
    noise = model.noise(5, 48, 32, seed=1)
    free, held = (model.sample("a bar", noise, steps=2, guidance=2.0, picture=given) for given in (None, OTHER))
    assert not torch.allclose(free, held, atol=1e-3)
    given = model.first_frame(OTHER, noise.shape)
    expected = model.codec.first_frame(OTHER.permute(2, 0, 1) / 127.5 - 1, 5)  # type: ignore[attr-defined]
    torch.testing.assert_close(given, expected)
    both = model.conditioning(["a bar", "a robot"], given)
    assert isinstance(both, Conditioning) and both.parts[PICTURE].shape == (2, *given.shape[1:])
    torch.testing.assert_close(model.sample(["a bar"] * 2, noise, steps=2, guidance=2.0, picture=OTHER)[1:], held)
    with pytest.raises(MotionError, match="The first frame is 32x32 and the video 48x32"):
        model.sample("a bar", noise, steps=2, picture=OTHER[:, :32])


def test_a_model_that_takes_none_says_so(folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = as_diffusers_saves_it(tmp_path / "words_alone", folders)
    Image.fromarray(OTHER.numpy()).save(tmp_path / "picture.png")
    command = ["generate", "--prompt", "a bar", "--image", str(tmp_path / "picture.png"), "--model", str(folder)]
    command += ["--frames", "5", "--width", "48", "--height", "32", "--device", "cpu"]
    assert main([*command, "--out", str(tmp_path / "a.webp")]) == 2
    assert "words_alone makes videos of words alone: leave the picture out" in capsys.readouterr().err


def test_on_the_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, picture = tmp_path / "clip.mp4", tmp_path / "picture.png"
    write_video(clip, CLIP, 8.0)
    Image.fromarray(OTHER.numpy()).resize((96, 64)).save(picture)
    size = ["--model", str(folder), "--frames", "5", "--width", "48", "--height", "32", "--device", "cpu"]
    learned = {}
    for way in ("own", "none"):
        out = tmp_path / f"{way}.safetensors"
        command = ["train", str(clip), "--prompt", "a bar", "--steps", "2", "--out", str(out), *size]
        assert main([*command, *([] if way == "own" else ["--picture", way])]) == 0, capsys.readouterr().err
        learned[way] = load_embedding(out)
    assert [learned[way].origin.settings["picture"] for way in learned] == ["own", "none"]
    assert difference(learned["own"], learned["none"]) == "picture"
    a, b = (learned[way].tensors for way in learned)
    assert any(not torch.equal(a[key], b[key]) for key in a)
    made = []
    for more in ([], ["--image", str(picture)]):
        out = tmp_path / f"{len(more)}.webp"
        command = ["generate", "--prompt", "a robot", "--motion", str(tmp_path / "own.safetensors"), "--steps", "2"]
        assert main([*command, *more, *size, "--out", str(out)]) == 0, capsys.readouterr().err
        made.append(read_clip(out).frames)
    assert made[0].shape == made[1].shape and not torch.equal(*made)


def test_a_motion_goes_to_the_object_of_a_picture(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it had been moved there by hand, with what the file says of its clip; without, from the clip itself."""
    clip = torch.full((5, 32, 48, 3), 90, dtype=torch.uint8)
    for i in range(5):
        clip[i, 8:16, 8 * i : 8 * i + 8] = 200  # at .083, .375 in the first frame
    write_video(tmp_path / "clip.mp4", clip, 8.0)
    Image.fromarray(OTHER.numpy()).save(tmp_path / "picture.png")
    mask = torch.zeros(32, 48, dtype=torch.uint8)
    mask[16:24, 24:32] = 255  # at .583, .625
    Image.fromarray(mask.numpy()).save(tmp_path / "mask.png")
    size = ["--model", str(folder), "--frames", "5", "--width", "48", "--height", "32", "--device", "cpu"]
    motion = tmp_path / "motion.safetensors"
    assert (
        main(["train", str(tmp_path / "clip.mp4"), "--prompt", "a bar", "--steps", "2", "--out", str(motion), *size])
        == 0
    )
    learned = load_embedding(motion)
    assert learned.origin.starts_at[:2] == pytest.approx((0.083, 0.375), abs=0.02)
    seen = []
    monkeypatch.setattr("motion_lib.cli.generate.make", lambda *given, **_: seen.append(given[3]) or [OTHER[None]])
    command = ["generate", "--prompt", "a robot", "--out", str(tmp_path / "a.webp"), *size]
    command += ["--image", str(tmp_path / "picture.png"), "--object", str(tmp_path / "mask.png")]
    assert main(command) == 2
    assert "--object says where in --image the thing is" in capsys.readouterr().err
    assert main([*command, "--motion", str(motion)]) == 0, capsys.readouterr().err
    by_hand = placed(learned, (28 / 48, 20 / 32))
    silent = tmp_path / "silent.safetensors"
    save_embedding(silent, replace(learned, origin=replace(learned.origin, starts_at=())))
    assert main([*command, "--motion", str(silent)]) == 2
    assert "does not say where in its clip the thing is" in capsys.readouterr().err
    assert main([*command, "--motion", str(silent), "--reference", str(tmp_path / "clip.mp4")]) == 0
    assert len(seen) == 2
    for (patch,) in seen:
        for key, tensor in by_hand.tensors.items():
            torch.testing.assert_close(patch.embedding.tensors[key], tensor, atol=1e-3, rtol=1e-3)
