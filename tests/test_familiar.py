"""Whether a clip looks like what a model has seen, on looks that the threshold was not chosen on."""

from __future__ import annotations

import pytest
import torch

from motion_lib.backbones import VideoModel, load_model
from motion_lib.sprites.world import World, foreign_worlds, random_worlds, render_world
from motion_lib.sprites.world.captions import world_captions
from motion_lib.training.familiar import warning

REMEDY = "choose another look"


@pytest.fixture(scope="module")
def model() -> VideoModel:
    return load_model("sprite_t2v")


def clips(world: World) -> torch.Tensor:
    return (render_world(world, 128, None).permute(0, 1, 3, 4, 2) * 255).round().byte()


def told(model: VideoModel, frames: torch.Tensor, caption: str) -> str | None:
    return warning(model.name, model.denoiser, model.encode_video(frames), model.encode_prompt([caption]), REMEDY)


def test_clips_in_the_models_own_look_are_not_warned_of(model: VideoModel) -> None:
    world = random_worlds(4, 16, generator=torch.Generator().manual_seed(31), classic=1.0)
    captions = world_captions(world, torch.Generator().manual_seed(0), forget=0)
    assert [told(model, *both) for both in zip(clips(world), captions, strict=True)] == [None] * 4


def test_foreign_looks_are(model: VideoModel) -> None:
    world = foreign_worlds(4, 16, generator=torch.Generator().manual_seed(31))
    found = [told(model, frames, "a shape on a background") for frames in clips(world)]
    assert sum(sentence is not None for sentence in found) == 4
    assert all("unlike what sprite_t2v knows" in said and said.endswith(f"{REMEDY}.") for said in found if said)


def test_of_other_models_nothing_is_known(model: VideoModel) -> None:
    frames = clips(foreign_worlds(1, 16, generator=torch.Generator().manual_seed(31)))[0]
    latents, text = model.encode_video(frames), model.encode_prompt([""])
    assert warning("zeroscope", model.denoiser, latents, text, REMEDY) is None
