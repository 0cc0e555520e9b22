"""Frames to Wan's latents and back, and what an image-to-video model is told of its first frame."""

from __future__ import annotations

import pytest

pytest.importorskip("diffusers", minversion="0.35", reason="older ones have no Wan")

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from motion_lib.backbones.loading import META
from motion_lib.backbones.wan.codec import WanCodec
from motion_lib.backbones.wan.keys import autoencoder_name
from motion_lib.errors import MotionError
from motion_lib.sprites.recipe.wan.autoencoder import rescale
from motion_lib.sprites.recipe.wan.design import LATENTS_MEAN, LATENTS_STD
from motion_lib.sprites.recipe.wan.store import given_picture
from motion_lib.sprites.recipe.wan.vae import VideoAutoencoder
from tests.backbones.test_wan_files import randomised


def like(ours: VideoAutoencoder) -> AutoencoderKLWan:
    """diffusers' autoencoder with the weights of ours."""
    model = AutoencoderKLWan(base_dim=8)
    model.load_state_dict({str(autoencoder_name(name)): value for name, value in ours.state_dict().items()})
    return model.eval()


@pytest.fixture(scope="module")
def ours() -> VideoAutoencoder:
    return randomised(VideoAutoencoder(8))


@pytest.fixture(scope="module")
def codec(ours: VideoAutoencoder) -> WanCodec:
    """Of the same latents as ours: what is folded in on export, the codec takes out again."""
    exported = VideoAutoencoder(8)
    exported.load_state_dict(ours.state_dict())
    rescale(exported, -LATENTS_MEAN / LATENTS_STD, 1 / LATENTS_STD)
    return WanCodec(like(exported))


def test_latents_are_as_the_model_sees_them(ours: VideoAutoencoder, codec: WanCodec) -> None:
    assert (codec.channels, codec.pixels_per_latent) == (16, 8)
    pixels = torch.rand(9, 3, 16, 24) * 2 - 1
    latents = codec.encode(pixels)
    assert latents.shape == (1, codec.channels, codec.latent_frames(9), 2, 3)
    torch.testing.assert_close(latents, ours.encode(pixels.movedim(0, 1)[None]), rtol=1e-4, atol=1e-4)
    decoded = codec.decode(latents)
    assert decoded.shape == pixels.shape
    assert decoded.dtype == torch.float32
    expected = ours.decode(latents)[0].movedim(1, 0).clamp(-1, 1)
    torch.testing.assert_close(decoded, expected, rtol=1e-4, atol=1e-4)


def test_numbers_of_frames(codec: WanCodec) -> None:
    assert [codec.latent_frames(frames) for frames in (1, 5, 33, 81)] == [1, 2, 9, 21]
    for frames, words in ((16, "take 13 or 17"), (2, "take 1 or 5"), (0, "take 1")):
        with pytest.raises(MotionError, match=words):
            codec.latent_frames(frames)
    with pytest.raises(MotionError, match="take 1 or 5"):
        codec.encode(torch.zeros(4, 3, 16, 16))


def test_the_first_frame_is_given_before_grey(ours: VideoAutoencoder, codec: WanCodec) -> None:
    picture = torch.rand(3, 16, 24) * 2 - 1
    given = codec.first_frame(picture, 9)
    assert given.shape == (1, 20, 3, 2, 3)
    assert torch.equal(given[:, :4, 0], torch.ones(1, 4, 2, 3))
    assert torch.equal(given[:, :4, 1:], torch.zeros(1, 4, 2, 2, 3))
    frames = given_picture(torch.cat([picture[:, None], torch.rand(3, 8, 16, 24)], dim=1)[None])
    torch.testing.assert_close(given[:, 4:], ours.encode(frames), rtol=1e-4, atol=1e-4)
    with pytest.raises(MotionError, match="take 5 or 9"):
        codec.first_frame(picture, 8)


def test_without_data() -> None:
    with META:
        codec = WanCodec(AutoencoderKLWan(base_dim=8))
        pixels = torch.empty(5, 3, 16, 16)
    latents = codec.encode(pixels)
    assert (latents.shape, latents.device) == ((1, 16, 2, 2, 2), META)
    assert codec.decode(latents).shape == pixels.shape
    assert codec.first_frame(pixels[0], 5).shape == (1, 20, 2, 2, 2)


def test_half_precision_stays_until_frames(codec: WanCodec) -> None:
    half = WanCodec(like(randomised(VideoAutoencoder(8))).bfloat16())
    latents = half.encode(torch.zeros(5, 3, 16, 16, dtype=torch.bfloat16))
    assert latents.dtype == half.first_frame(torch.zeros(3, 16, 16, dtype=torch.bfloat16), 5).dtype == torch.bfloat16
    assert half.decode(latents).dtype == torch.float32


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"latents_mean": [0.0] * 15}, "latents_mean should be 16 numbers"),
        ({"latents_mean": ["0"] * 16}, "latents_mean should be 16 numbers"),
        ({"latents_std": [0.0] * 16}, "latents_std should be above 0"),
        ({"temperal_downsample": [True, True, True]}, "temperal_downsample should make one of 4 frames"),
    ],
)
def test_other_autoencoders_are_refused(fields: dict[str, list[float]], words: str) -> None:
    with META:
        vae = AutoencoderKLWan(base_dim=8, **fields)
    with pytest.raises(ValueError, match=words):
        WanCodec(vae)
