"""Codecs: frames to latents and back. A frame of pixels need not be a frame of latents; how many there are of one for
so many of the other is the codec's to say."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from einops import rearrange
from torch import Tensor

from .folder import Part
from .loading import diffusers_model

CHUNK = 8  # frames that are encoded or decoded at a time


class Codec(Protocol):
    """What a model needs to know of its autoencoder.

    channels: of the latents. pixels_per_latent: along height and width.
    """

    channels: int
    pixels_per_latent: int

    def latent_frames(self, frames: int) -> int:
        """How many frames the latents of so many frames have.

        Raises MotionError for a number of frames that the autoencoder cannot take.
        """
        ...

    def encode(self, pixels: Tensor) -> Tensor:
        """Latents `[1, c, f, h, w]`, as the model sees them, of pixels `[f, 3, height, width]` from -1 to 1."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels `[f, 3, height, width]` in float32, about -1 to 1, of latents `[1, c, f, h, w]`; on the CPU, or
        without data where the latents have none."""
        ...


class PictureCodec:
    """A Codec of diffusers' AutoencoderKL, which takes every frame for a picture."""

    def __init__(self, vae: Any):
        if not 0 < vae.config.scaling_factor < 1e6:
            raise ValueError(f"scaling_factor is {vae.config.scaling_factor}, but it must be above 0")
        self.vae, self.scale = vae, vae.config.scaling_factor
        self.channels: int = vae.config.latent_channels
        self.pixels_per_latent: int = 2 ** (len(vae.config.block_out_channels) - 1)

    def latent_frames(self, frames: int) -> int:
        return frames

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        means = [self.vae.encode(part).latent_dist.mean for part in pixels.split(CHUNK)]
        return rearrange(torch.cat(means), "f c h w -> 1 c f h w") * self.scale

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        planes = rearrange(latents, "1 c f h w -> f c h w") / self.scale
        where = latents.device if latents.is_meta else "cpu"
        return torch.cat([self.vae.decode(part).sample.float().to(where) for part in planes.split(CHUNK)])


def picture_codec(part: Part, dtype: torch.dtype, device: torch.device) -> PictureCodec:
    """Of a part of a model folder; raises ValueError for weights that do not suit its configuration."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    return PictureCodec(diffusers_model(AutoencoderKL, part, dtype, device))
