"""The command `imagine` and the loading of image models, on a small folder of Stable Diffusion 1.5's layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from motion_lib.cli import main
from motion_lib.diffusion.frame_noise import frame_noise
from motion_lib.errors import MotionError
from motion_lib.frames_from_images.imagine import FirstFrame, imagine
from motion_lib.frames_from_images.loading import load_image_model
from motion_lib.frames_from_images.momentum import Momentum
from motion_lib.video import read_clip, write_video
from tests.frames_from_images.folders import build, change
from tests.tiny import randn

FRAMES = 3
SHORT = ["--frames", str(FRAMES), "--steps", "2", "--prompt", "a bar"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("models") / "tiny_image")


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> str:
    from PIL import Image

    pixels = torch.zeros(16, 16, 3, dtype=torch.uint8)
    pixels[:, 4:8] = torch.tensor([200, 60, 20], dtype=torch.uint8)
    path = tmp_path_factory.mktemp("pictures") / "bar.png"
    Image.fromarray(pixels.numpy()).save(path)
    return str(path)


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def ran(folder: Path, out: Path, *options: str) -> int:
    return main(["imagine", "--model", str(folder), "--out", str(out), *SHORT, *options])


def test_the_command_makes_what_the_library_makes(folder: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "bar.webp"
    assert (
        ran(folder, out, "--noise", "mixed", "--similarity", "0.7", "--momentum", "0.9", "--seed", "3", "--json") == 0
    )
    said = json.loads(capsys.readouterr().out)
    assert (said["noise"], said["similarity"], said["momentum"], said["frames"]) == ("mixed", 0.7, 0.9, FRAMES)
    model = load_image_model(folder)
    noise = frame_noise(model.latent_shape(FRAMES, 16, 16), 3, "mixed", 0.7)
    latents = imagine(model, ["a bar"], noise, Momentum(0.9), steps=2)
    expected = tmp_path / "expected.webp"
    write_video(expected, model.decode_video(latents), 8.0)
    assert out.read_bytes() == expected.read_bytes()
    assert read_clip(out).frames.shape == (FRAMES, 16, 16, 3)


def test_published_numbers_are_what_is_used_without_any(folder: Path, tmp_path: Path, capsys) -> None:
    for options, similarity in (([], 1 - 0.01 / torch.e**0.5), (["--parameter", "0.5"], 1 - 0.5 / torch.e**0.5)):
        assert ran(folder, tmp_path / "a.gif", *options, "--json") == 0
        assert json.loads(capsys.readouterr().out)["similarity"] == pytest.approx(similarity)


def test_a_held_picture_is_the_first_frame_and_shows_in_the_others(folder: Path) -> None:
    model = load_image_model(folder)
    picture, noise = randn(1, 4, 1, 8, 8, seed=5), frame_noise((1, 4, FRAMES, 8, 8), 1)
    free = imagine(model, ["a bar"], noise, Momentum(), steps=3)
    held = imagine(model, ["a bar"], noise, Momentum(), first=picture, steps=3)
    assert torch.equal(held[:, :, :1], picture)
    assert float((held - free)[:, :, 1:].abs().max()) > 0.01
    alone = imagine(model, ["a bar"], noise, None, first=picture, steps=3)
    assert torch.allclose(alone[:, :, 1:], imagine(model, ["a bar"], noise, None, steps=3)[:, :, 1:], atol=1e-4)


@pytest.mark.parametrize("way", ["held", "inverted"])
def test_the_command_begins_with_a_picture(folder: Path, picture: str, tmp_path: Path, way: str) -> None:
    plain, begun = tmp_path / "plain.webp", tmp_path / "begun.webp"
    assert ran(folder, plain) == 0 and ran(folder, begun, "--image", picture, "--image-as", way) == 0
    difference = (read_clip(plain).frames.float() - read_clip(begun).frames.float()).abs().amax((1, 2, 3))
    if way == "inverted":
        assert bool((difference > 0).all())  # in every frame
    else:  # in the first; of the others a model with random weights changes less than a pixel shows
        model = load_image_model(folder)
        first = model.encode_video(read_clip(picture).frames)
        shown = model.decode_video(first).float()
        away = [float((read_clip(video).frames[:1] - shown).abs().mean()) for video in (begun, plain)]
        assert away[0] < 0.5 * away[1]  # WebP loses a little
        noise = frame_noise(model.latent_shape(FRAMES, 16, 16), 0, "dependency")
        latents = imagine(model, ["a bar"], noise, Momentum(), first=first, steps=2)
        expected = tmp_path / "expected.webp"
        write_video(expected, model.decode_video(latents), 8.0)
        assert begun.read_bytes() == expected.read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--frames", "1"], "--frames is 1, but a video that holds together has at least 2"),
        (["--momentum", "1.2"], "momentum is 1.2"),
        (["--start", "0.5", "--end", "0.2"], "in this order"),
        (["--parameter", "1.7"], "λ of dependency noise is 1.7, but it must lie between 0 and 1.649"),
        (["--similarity", "-0.1"], "similarity is -0.1"),
        (["--similarity", "0.5", "--parameter", "0.5"], "give one of them"),
        (["--noise", "independent", "--parameter", "0.5"], "no number to set"),
        (["--scales", "coarse"], "--scales is 'coarse'"),
        (["--width", "17"], "must be multiples of 2"),
        (["--image", "nowhere.png"], "nowhere.png"),
        (["--out", "a.txt"], "cannot be written as a video"),
    ],
)
def test_bad_options_are_one_sentence_and_leave_nothing(
    folder: Path, tmp_path: Path, capsys, options: list[str], words: str
) -> None:
    out = tmp_path / "out.mp4"
    assert ran(folder, out, *options) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in said and said.startswith("motion-inversion: ")
    assert not list(tmp_path.iterdir())


def test_a_video_model_is_refused(tmp_path: Path, capsys) -> None:
    from motion_lib.bundled.models import BUNDLED

    assert ran(BUNDLED["sprite_t2v"][0], tmp_path / "a.mp4") == 2
    assert "describes a UNet3DConditionModel, but for frames from images it must be a" in capsys.readouterr().err
    with pytest.raises(MotionError, match="sprite_t2v is a video model"):
        from motion_lib import load_model

        imagine(load_model("sprite_t2v"), ["a"], randn(1, 4, 2, 16, 16))


def test_a_spatio_temporal_unet_is_refused_by_name(copied: Path) -> None:
    """Stable Video Diffusion's."""
    change(copied, "unet", _class_name="UNetSpatioTemporalConditionModel")
    with pytest.raises(MotionError, match="describes a UNetSpatioTemporalConditionModel, but for frames from images"):
        load_image_model(copied)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: shutil.rmtree(f), "There is no model folder"),
        (lambda f: shutil.rmtree(f / "vae"), "missing vae/config.json, vae/ weights"),
        (lambda f: change(f, "unet", addition_embed_type="text_time"), "of SDXL's kind"),
        (lambda f: (f / "text_encoder_2").mkdir(), "of SDXL's kind"),
        (lambda f: change(f, "unet", in_channels=8), "unet: .* another shape"),  # of weights that edit nothing
        (lambda f: change(f, "unet", in_channels=9), "in_channels 9, but the latents have 4: .* InstructPix2Pix's"),
        (lambda f: change(f, "unet", cross_attention_dim=12), "unet: .* another shape"),
        (lambda f: change(f, "unet", layers_per_block=10**6), "could not be loaded: unet"),
        (lambda f: change(f, "unet", auto_map="evil.py"), "auto_map"),
        (lambda f: (f / "unet" / "config.json").write_text("{"), "could not be read as JSON"),
    ],
)
def test_folders_that_are_no_such_model_are_one_sentence(copied: Path, spoil: Any, words: str) -> None:
    spoil(copied)
    with pytest.raises(MotionError, match=words) as error:
        load_image_model(copied)
    assert "\n" not in str(error.value)


def test_pictures_that_are_no_first_frame_are_one_sentence() -> None:
    with pytest.raises(MotionError, match="NaN or infinity"):
        FirstFrame(torch.full((1, 4, 1, 8, 8), torch.nan))
    with pytest.raises(MotionError, match="has 2 frames"):
        FirstFrame(torch.zeros(1, 4, 2, 8, 8))
