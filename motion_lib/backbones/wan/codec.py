"""Wan's codec: the first frame of a video is a latent frame by itself, every four frames after it are one."""

from __future__ import annotations

from numbers import Real
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ...errors import MotionError
from ..folder import Part
from ..loading import diffusers_model

FRAMES_PER_LATENT = 4  # diffusers gives its AutoencoderKLWan so many at a time, whatever the configuration says


class WanCodec:
    """A Codec of diffusers' AutoencoderKLWan.

    The autoencoder works through a video a latent frame at a time and remembers what its convolutions saw, so that its
    memory does not grow with the length. Slicing would change nothing, for it parts several videos; tiling would save
    memory, but blends tiles that do not see each other, so that latents would depend on where tiles end.

    Raises ValueError for an autoencoder whose configuration is not one of a Wan.
    """

    def __init__(self, vae: Any):
        config = vae.config
        self.vae, self.channels = vae, int(config.z_dim)
        for name in ("latents_mean", "latents_std"):
            values = getattr(config, name)
            if len(values) != self.channels or not all(isinstance(value, Real) for value in values):
                raise ValueError(f"{name} should be {self.channels} numbers, one for each channel of the latents")
        if min(config.latents_std) <= 0:
            raise ValueError("latents_std should be above 0 everywhere")
        if 2 ** sum(map(bool, config.temperal_downsample)) != FRAMES_PER_LATENT:
            raise ValueError(f"temperal_downsample should make one of {FRAMES_PER_LATENT} frames")
        self.pixels_per_latent: int = 2 ** (len(config.dim_mult) - 1) * (getattr(config, "patch_size", None) or 1)

    def latent_frames(self, frames: int) -> int:
        """1 + n for 1 + 4n frames. Raises MotionError for another number of frames."""
        if frames < 1 or (frames - 1) % FRAMES_PER_LATENT:
            fewer = frames - (frames - 1) % FRAMES_PER_LATENT
            near = " or ".join(str(n) for n in (fewer, fewer + FRAMES_PER_LATENT) if n >= 1)
            raise MotionError(
                f"A video of Wan has one frame more than a multiple of {FRAMES_PER_LATENT}, which {frames} is not: "
                f"take {near}."
            )
        return 1 + (frames - 1) // FRAMES_PER_LATENT

    def frames(self, latent_frames: int) -> int:
        """How many frames latents of so many frames are of."""
        return 1 + FRAMES_PER_LATENT * (latent_frames - 1)

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """See Codec. Raises MotionError for a number of frames that `latent_frames` refuses."""
        self.latent_frames(len(pixels))
        latents = self.vae.encode(rearrange(pixels, "f c h w -> 1 c f h w")).latent_dist.mean
        mean, std = self._distribution(latents)
        return (latents - mean) / std

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """See Codec."""
        mean, std = self._distribution(latents)
        pixels = self.vae.decode(latents * std + mean).sample
        return rearrange(pixels, "1 c f h w -> f c h w").float().to(latents.device if latents.is_meta else "cpu")

    def first_frame(self, picture: Tensor, frames: int) -> Tensor:
        """What an image-to-video model takes beside its noisy latents, `[1, 4 + c, f, h, w]`: a mask of the frames that
        are given, with a channel for each frame of a latent frame, and the latents of a video of the picture `[3,
        height, width]` from -1 to 1 and of grey after it.

        The mask is one in the whole first latent frame and zero elsewhere; ComfyUI's WanImageToVideo gives the same.
        Without a picture, all of it is zero. Raises MotionError as `latent_frames` does.
        """
        self.latent_frames(frames)
        video = picture.new_zeros(frames, *picture.shape)
        video[0] = picture
        latents = self.encode(video)
        mask = torch.zeros_like(latents[:, :1]).repeat(1, FRAMES_PER_LATENT, 1, 1, 1)
        mask[:, :, 0] = 1
        return torch.cat([mask, latents], dim=1)

    def _distribution(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the standard deviation `[c, 1, 1, 1]` of the autoencoder's own latents."""
        config = self.vae.config
        mean, std = latents.new_tensor([list(config.latents_mean), list(config.latents_std)])[..., None, None, None]
        return mean, std


def load(part: Part, dtype: torch.dtype, device: torch.device) -> WanCodec:
    """Of a part of a model folder; raises ValueError for weights that do not suit its configuration."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    return WanCodec(diffusers_model(AutoencoderKLWan, part, dtype, device))
