"""A loaded text-to-video model: what the command line and the benchmark work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ..bundled.models import SamplingDefaults
from ..diffusion.denoiser import Denoiser
from ..errors import MotionError
from ..video.limits import KEPT


@dataclass
class VideoModel:
    """Text encoder, autoencoder and denoiser of one model folder, on one device and in one dtype."""

    name: str
    denoiser: Denoiser
    vae: Any
    tokenizer: Any
    text_encoder: Any
    defaults: SamplingDefaults
    device: torch.device
    dtype: torch.dtype

    @property
    def pixels_per_latent(self) -> int:
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def latent_shape(self, frames: int, width: int, height: int, batch: int = 1) -> tuple[int, int, int, int, int]:
        """`[b, c, f, h, w]` of a video of this many frames and pixels.

        Raises MotionError for sizes that the autoencoder cannot divide, for no frames, and for more than a video of any
        model has.
        """
        if frames < 1:
            raise MotionError(f"{frames} frames are asked for, but a video has at least 1.")
        KEPT.check("What is asked for", frames, width, height)
        unit = self.pixels_per_latent
        if width % unit or height % unit or width < unit or height < unit:
            raise MotionError(
                f"The size {width}x{height} does not suit {self.name}: width and height must be multiples of {unit}."
            )
        return batch, self.vae.config.latent_channels, frames, height // unit, width // unit

    @torch.no_grad()
    def encode_prompt(self, prompts: list[str]) -> Tensor:
        """Text embeddings `[n, tokens, width]`."""
        ids = self.tokenizer(
            prompts,
            padding="max_length",
            max_length=min(self.tokenizer.model_max_length, self.text_encoder.config.max_position_embeddings),
            truncation=True,
            return_tensors="pt",
        ).input_ids
        return self.text_encoder(ids.to(self.device))[0].to(self.dtype)

    @torch.no_grad()
    def encode_video(self, frames: Tensor, chunk: int = 8) -> Tensor:
        """Latents `[1, c, f, h, w]` of frames: uint8 `[f, height, width, 3]`."""
        pixels = rearrange(frames, "f h w c -> f c h w").to(self.device, self.dtype) / 127.5 - 1
        means = [self.vae.encode(part).latent_dist.mean for part in pixels.split(chunk)]
        return rearrange(torch.cat(means), "f c h w -> 1 c f h w") * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode_video(self, latents: Tensor, chunk: int = 8) -> Tensor:
        """Frames uint8 `[f, height, width, 3]` on the CPU, of latents `[1, c, f, h, w]`."""
        planes = rearrange(latents, "1 c f h w -> f c h w") / self.vae.config.scaling_factor
        parts = [self.vae.decode(part).sample.float().cpu() for part in planes.split(chunk)]
        pixels = ((torch.cat(parts) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return rearrange(pixels, "f c h w -> f h w c").contiguous()
