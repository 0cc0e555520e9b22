"""The bundled image model: found by name, small, without copies of what it shares, and it knows its words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from motion_lib import load_model
from motion_lib.backbones import VideoModel
from motion_lib.benchmark.cases import as_frames
from motion_lib.bundled.models import BUNDLED_IMAGES
from motion_lib.diffusion.frame_noise import frame_noise, tied
from motion_lib.diffusion.sampling import random_noise
from motion_lib.errors import MotionError
from motion_lib.frames_from_images.imagine import imagine
from motion_lib.frames_from_images.loading import load_image_model
from motion_lib.frames_from_images.momentum import Momentum
from motion_lib.metrics.captions import caption_accuracy
from motion_lib.sprites import random_scenes, render
from motion_lib.sprites.recipe.image.export import complete


@pytest.fixture(scope="module")
def model() -> VideoModel:
    return load_image_model("sprite_image")


def test_the_folder_holds_the_unet_alone() -> None:
    folder = BUNDLED_IMAGES["sprite_image"][0]
    assert {entry.name for entry in folder.iterdir()} == {"README.md", "unet"}
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 10e6


def test_it_has_its_own_size_and_the_text_encoder_of_the_video_model(model: VideoModel) -> None:
    assert (model.name, model.defaults.width, model.defaults.steps) == ("sprite_image", 128, 20)
    words = ["a red circle on a grey plain background"]
    assert torch.equal(model.encode_prompt(words), load_model("sprite_t2v").encode_prompt(words))


@pytest.mark.parametrize(
    "prompt", ["a red circle on a grey plain background", "a blue star on a beige plain background"]
)
def test_frames_show_the_prompt(model: VideoModel, prompt: str) -> None:
    noise = frame_noise(model.latent_shape(3, 128, 128), 1)
    video = model.decode_video(imagine(model, [prompt], noise, Momentum(), steps=8))
    found = caption_accuracy(video, prompt).over_frames
    assert found["colour"] == found["tone"] == 1
    assert sum(found.values()) > 3


def test_an_inverted_picture_comes_back_as_the_first_frame(model: VideoModel) -> None:
    """With nothing asked for: its noise is the first frame's, which looks at itself alone, whatever ties the others."""
    scenes = random_scenes(1, 2, generator=torch.Generator().manual_seed(3))
    picture = model.encode_video(as_frames(render(scenes, 128)[0][:1]))
    fresh = random_noise((1, 4, 2, 16, 16), 6)
    fresh[:, :, :1] = model.invert(picture, steps=10)
    found = imagine(model, [""], tied(fresh, "dependency", 0.5), Momentum(), steps=10, guidance=1.0)
    away = [float((frame - picture).norm() / picture.norm()) for frame in found.split(1, 2)]
    assert away[0] < 0.1 and away[1] > 3 * away[0], away


def test_it_is_no_model_of_videos() -> None:
    with pytest.raises(MotionError, match="sprite_image is an image model, of which only imagine makes videos"):
        load_model("sprite_image")


def test_other_programs_load_the_whole_folder(tmp_path: Path, model: VideoModel) -> None:
    """diffusers' own pipeline, once what it shares was put beside it."""
    from shutil import copytree

    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline

    copytree(BUNDLED_IMAGES["sprite_image"][0], tmp_path / "whole")
    complete(tmp_path / "whole")
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "whole", local_files_only=True)
    x, at, words = torch.zeros(1, 4, 16, 16), torch.tensor([500]), model.encode_prompt(["a red circle"])
    with torch.no_grad():
        theirs = pipeline.unet(x, at, words).sample.float()
    assert torch.allclose(theirs, model.denoiser(x[:, :, None], at, words)[:, :, 0], atol=1e-4)
