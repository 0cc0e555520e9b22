"""Edits of a clip by instruction, on a small folder of InstructPix2Pix's layout."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from motion_lib.backbones import VideoModel
from motion_lib.cli import main
from motion_lib.diffusion.frame_noise import frame_noise
from motion_lib.diffusion.process import Step
from motion_lib.diffusion.schedule import NoiseSchedule
from motion_lib.errors import MotionError
from motion_lib.frames_from_images.denoiser import ImageDenoiser
from motion_lib.frames_from_images.edit import Edit
from motion_lib.frames_from_images.imagine import imagine
from motion_lib.frames_from_images.loading import EDITING, load_image_model
from motion_lib.frames_from_images.momentum import Momentum
from motion_lib.video import read_clip, write_video
from tests.backbones.folders import SCHEDULER
from tests.frames_from_images.folders import build, change
from tests.tiny import randn

FRAMES, WORDS = 3, "make it a watercolour"
SHAPE = (1, 4, FRAMES, 8, 8)
ABLE = {"in_channels": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("models") / "tiny_edits", **ABLE)


@pytest.fixture(scope="module")
def model(folder: Path) -> VideoModel:
    return load_image_model(folder)


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """Five frames of a bar that goes to the right, at 12 frames per second."""
    frames = torch.zeros(5, 16, 16, 3, dtype=torch.uint8)
    for i in range(5):
        frames[i, :, 2 * i : 2 * i + 4] = torch.tensor([200, 60, 20], dtype=torch.uint8)
    path = tmp_path_factory.mktemp("videos") / "bar.gif"
    write_video(path, frames, 12.5)
    return path


def ran(folder: Path, out: Path, *options: str) -> int:
    return main(["imagine", "--model", str(folder), "--prompt", WORDS, "--steps", "2", "--out", str(out), *options])


def one_step(model: VideoModel, noise: Tensor, clip: Tensor, guidance: float, picture: float) -> Tensor:
    """ẽ = e(∅, ∅) + s_I·(e(I, ∅) − e(∅, ∅)) + s_T·(e(I, T) − e(I, ∅)) in float64 by the UNet itself, which is asked for
    one frame at a time, and the DDIM step to the clean end."""
    unet = model.denoiser.abilities.network
    words, empty = (model.encode_prompt([text]).double() for text in (WORDS, ""))
    process = model.denoiser.process
    (time,) = process.timesteps(1)
    picture_latents = clip.double() / model.codec.vae.config.scaling_factor  # as the autoencoder makes them
    frames = []
    for i in range(noise.shape[2]):
        x, seen = noise[:, :, i].double(), picture_latents[:, :, i]
        nothing, pictured, both = (
            unet(torch.cat([x, given], 1), time, text).sample
            for given, text in ((torch.zeros_like(seen), empty), (seen, empty), (seen, words))
        )
        predicted = nothing + picture * (pictured - nothing) + guidance * (both - pictured)
        frames.append(process.move(x, predicted, time, process.clean_end))
    return torch.stack(frames, 2)


@pytest.mark.parametrize(("guidance", "picture"), [(7.5, 1.5), (1.0, 1.0), (3.0, 0.0), (0.0, 2.0)])
def test_one_step_is_the_formula(folder: Path, guidance: float, picture: float) -> None:
    model = load_image_model(folder, dtype=torch.float64)
    model.text.model.float()  # transformers 4.46 makes no mask of attention in float64
    noise, clip = (randn(*SHAPE, seed=seed, dtype=torch.float64) for seed in (1, 2))
    with torch.no_grad():
        expected = one_step(model, noise, clip, guidance, picture)
    found = imagine(model, [WORDS], noise, edit=Edit(clip, picture), steps=1, guidance=guidance)
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_it_is_what_diffusers_makes_of_every_frame(model: VideoModel) -> None:
    """Its own pipeline, of several steps and with a scaling factor of the latents that is not 1."""
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_instruct_pix2pix import (
        StableDiffusionInstructPix2PixPipeline,
    )
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    assert isinstance(model.denoiser, ImageDenoiser) and model.denoiser.latent_scale == pytest.approx(0.18215)
    pixels = torch.randint(0, 256, (FRAMES, 16, 16, 3), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    clip, noise = model.encode_video(pixels), frame_noise(SHAPE, 4)
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=model.codec.vae,
        text_encoder=model.text.model,
        tokenizer=model.text.tokenizer,
        unet=model.denoiser.unet,
        scheduler=DDIMScheduler.from_config(SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    words, empty = (model.encode_prompt([text]).expand(FRAMES, -1, -1) for text in (WORDS, ""))
    expected = pipeline(
        image=pixels.movedim(-1, 1).float() / 127.5 - 1,
        prompt_embeds=words,
        negative_prompt_embeds=empty,
        latents=noise[0].movedim(1, 0),
        num_inference_steps=4,
        guidance_scale=5.0,
        image_guidance_scale=1.5,
        output_type="latent",
    ).images
    found = imagine(model, [WORDS], noise, edit=Edit(clip), steps=4, guidance=5.0)
    assert torch.allclose(found[0].movedim(1, 0), expected, rtol=1e-3, atol=1e-3)


def test_without_momentum_every_frame_is_an_edit_of_its_own(model: VideoModel) -> None:
    """Bit for bit in a batch of the same size; in a batch of another, PyTorch adds up in another order."""
    noise, clip = frame_noise(SHAPE, 1), randn(*SHAPE, seed=2)

    def edited(momentum: Momentum | None, noise: Tensor = noise, clip: Tensor = clip) -> Tensor:
        return imagine(model, [WORDS], noise, momentum, edit=Edit(clip), steps=2)

    plain, tied = edited(Momentum(0.0)), edited(Momentum(0.9))
    assert torch.equal(plain, edited(None))
    for i in range(FRAMES):
        of_frame = [tensor[:, :, i : i + 1].expand(SHAPE) for tensor in (noise, clip)]
        assert torch.equal(plain[:, :, i], edited(Momentum(0.0), *of_frame)[:, :, i])
        alone = edited(None, *(tensor[:, :, :1] for tensor in of_frame))
        assert torch.allclose(plain[:, :, i : i + 1], alone, atol=1e-4)
    assert torch.allclose(tied[:, :, :1], plain[:, :, :1], atol=1e-4)  # which looks at itself alone
    assert bool(((tied - plain)[:, :, 1:].abs().amax((0, 1, 3, 4)) > 0.01).all())


def test_momentum_ties_each_of_the_three_parts_by_itself(model: VideoModel) -> None:
    noise, clip = frame_noise(SHAPE, 1), randn(*SHAPE, seed=2)
    steps: list[Step] = []
    imagine(model, [WORDS], noise, Momentum(0.9), edit=Edit(clip, 1.5), steps=1, guidance=4.0, on_step=steps.append)
    assert isinstance(model.denoiser, ImageDenoiser)
    denoiser, edit = replace(model.denoiser, momentum=Momentum(0.9)), Edit(clip)
    words, empty = (edit.conditioned(model.encode_prompt([text]), noise) for text in (WORDS, ""))
    at = torch.tensor([steps[0].time])
    with torch.no_grad():
        nothing = denoiser(noise, at, empty.text)  # text alone goes with an empty picture
        pictured, both = denoiser(noise, at, empty), denoiser(noise, at, words)
    predicted = nothing + 1.5 * (pictured - nothing) + 4.0 * (both - pictured)
    expected, _ = denoiser.process.clean_and_noise(noise, predicted, steps[0].time)
    assert torch.allclose(steps[0].clean, expected, rtol=1e-3, atol=1e-3)


def test_a_held_picture_is_the_first_frame_of_the_edit(model: VideoModel) -> None:
    noise, clip, picture = frame_noise(SHAPE, 1), randn(*SHAPE, seed=2), randn(1, 4, 1, 8, 8, seed=5)
    free = imagine(model, [WORDS], noise, Momentum(), edit=Edit(clip), steps=3)
    held = imagine(model, [WORDS], noise, Momentum(), edit=Edit(clip), first=picture, steps=3)
    assert torch.equal(held[:, :, :1], picture)
    assert float((held - free)[:, :, 1:].abs().max()) > 0.01


def test_the_command_edits_as_the_library_does(folder: Path, video: Path, tmp_path: Path, capsys) -> None:
    out, ties = tmp_path / "edited.webp", ["--noise", "mixed", "--similarity", "0.7", "--momentum", "0.9"]
    more = ["--frames", str(FRAMES), "--skip-first-frames", "1", "--picture-guidance", "2", "--guidance", "3"]
    assert ran(folder, out, "--edit", str(video), *ties, *more, "--seed", "3", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["frames"], said["fps"]) == (FRAMES, pytest.approx(12.5))
    model = load_image_model(folder)
    frames = read_clip(video).frames[1 : 1 + FRAMES]
    noise = frame_noise(model.latent_shape(FRAMES, 16, 16), 3, "mixed", 0.7)
    edit = Edit(model.encode_video(frames), 2.0)
    latents = imagine(model, [WORDS], noise, Momentum(0.9), edit=edit, steps=2, guidance=3.0)
    expected = tmp_path / "expected.webp"
    write_video(expected, model.decode_video(latents), 12.5)
    assert out.read_bytes() == expected.read_bytes()


def test_all_frames_of_a_short_clip_are_edited(folder: Path, video: Path, tmp_path: Path, capsys) -> None:
    picture = ["--image", str(video), "--image-as", "inverted"]
    assert ran(folder, tmp_path / "a.gif", "--edit", str(video), "--fps", "5", *picture, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["frames"], said["fps"]) == (5, 5.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "tiny_edits is a model of InstructPix2Pix's kind, which edits by instruction: give it a clip"),
        (["--edit", "nowhere.mp4"], "nowhere.mp4"),
        (["--edit", "VIDEO", "--frames", "9"], "has 5 frames after selection, but 9 are needed"),
        (["--edit", "VIDEO", "--picture-guidance", "-1"], "picture guidance is -1, but it must be a number from 0"),
        (["--edit", "VIDEO", "--width", "17"], "must be multiples of 2"),
        (["--edit", "VIDEO", "--fps", "0"], "fps is 0"),
    ],
)
def test_bad_options_are_one_sentence(
    folder: Path, video: Path, tmp_path: Path, capsys, options: list[str], words: str
) -> None:
    given = [str(video) if option == "VIDEO" else option for option in options]
    assert ran(folder, tmp_path / "out.mp4", *given) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in said and said.startswith("motion-inversion: ")
    assert not list(tmp_path.iterdir())


def test_a_model_that_edits_nothing_is_refused_by_name(video: Path, tmp_path: Path, capsys) -> None:
    assert ran(Path("sprite_image"), tmp_path / "a.mp4", "--edit", str(video)) == 2
    assert "sprite_image makes pictures, but does not edit any by instruction" in capsys.readouterr().err


def test_other_models_that_take_a_picture_are_refused_by_name(folder: Path, tmp_path: Path) -> None:
    """Marigold's, of depth, has a UNet of the same shape."""
    copied = Path(shutil.copytree(folder, tmp_path / "copy"))
    index = copied / "model_index.json"
    for named, refused in (("MarigoldDepthPipeline", True), (EDITING, False)):
        index.write_text(json.dumps({"_class_name": named}))
        if refused:
            with pytest.raises(
                MotionError, match="describes a MarigoldDepthPipeline, but of models that take a picture"
            ):
                load_image_model(copied)
        else:
            assert load_image_model(copied).name == "copy"
    change(copied, "unet", in_channels=7)
    with pytest.raises(MotionError, match="in_channels 7, but the latents have 4: use a model that makes pictures"):
        load_image_model(copied)


def test_clips_that_cannot_be_edited_are_one_sentence(model: VideoModel) -> None:
    with pytest.raises(MotionError, match="latents of the clip contain NaN"):
        Edit(torch.full(SHAPE, torch.nan))
    with pytest.raises(MotionError, match="picture guidance is nan, but it must be a number from 0 up"):
        Edit(randn(*SHAPE), torch.nan)
    with pytest.raises(MotionError, match="latents have 3 frames of 8x8, but the start noise has 2 of 8x8"):
        imagine(model, [WORDS], randn(1, 4, 2, 8, 8), edit=Edit(randn(*SHAPE)))


def test_a_tiny_unet_of_pictures_alone_takes_no_other() -> None:
    from motion_lib.frames_from_images.tiny import tiny_unet
    from tests.tiny import SCHEDULE

    process = NoiseSchedule.from_config(SCHEDULE)
    assert ImageDenoiser.of(tiny_unet(**ABLE), process).edits and not ImageDenoiser.of(tiny_unet(), process).edits
