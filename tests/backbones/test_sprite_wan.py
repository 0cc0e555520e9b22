"""The small Wan that comes with the library: the same files are read here and in ComfyUI."""

from __future__ import annotations

import pytest

from motion_lib.backbones import VideoModel, load_model
from motion_lib.bundled.models import BUNDLED
from motion_lib.errors import MotionError
from motion_lib.sprites.checker import check_frames
from motion_lib.sprites.vocabulary import parse_caption

FOLDER, DEFAULTS = BUNDLED["sprite_wan"]


@pytest.fixture(scope="module")
def model() -> VideoModel:
    pytest.importorskip("diffusers", minversion="0.35", reason="older ones have no Wan")
    return load_model("sprite_wan")


def test_it_shows_what_a_caption_says(model: VideoModel) -> None:
    said = "a red circle on a navy plain background"
    (video,) = model.generate(said, model.noise(seed=5, frames=17), steps=12)
    assert video.shape == (17, 128, 128, 3)
    shown = video[[0, 8, 16]].permute(0, 3, 1, 2) / 255
    first, middle, last = (verdict.words for verdict in check_frames(shown))
    assert middle == parse_caption(said)
    assert {first.tone, middle.tone, last.tone} == {"navy"}


def test_the_nearest_numbers_of_frames_are_named(model: VideoModel) -> None:
    with pytest.raises(MotionError, match=r"which 16 is not: take 13 or 17"):
        model.noise(frames=16)


def test_it_is_as_small_as_it_should_be() -> None:
    sizes = {file.relative_to(FOLDER).parts[0]: file.stat().st_size for file in FOLDER.rglob("*.safetensors")}
    assert sizes["vae"] < 8e6 and sizes["text_encoder"] < 2e6 and sum(sizes.values()) < 35e6
