"""An image model that predicts the frames of videos side by side, as a Denoiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..backbones.accelerate.abilities import Abilities
from ..diffusion.conditioning import Conditioning
from ..diffusion.process import Process
from ..method.embedding import Backbone
from ..method.patch import PreparedPatch
from .attention import FramesOf, install_processors
from .edit import PICTURE
from .momentum import Momentum

IMAGES = Backbone("unet2d", ())
TEXT_TOKENS = 77


@dataclass
class ImageDenoiser:
    """A Denoiser over a frozen UNet2DConditionModel whose batch is the frames of all videos; conditioning is text
    embeddings `[b, tokens, width]`, the same for every frame. It has no temporal layers, so no motion embedding fits.

    A UNet of InstructPix2Pix's kind (`edits`) takes the latents of a given picture beside those that it predicts. Its
    conditioning has them for every frame as the part PICTURE, `[b, c, f, h, w]`; text alone goes with an empty picture.
    latent_scale: how many times the latents are what the autoencoder makes; such a UNet was trained on pictures as the
    autoencoder makes them.

    Make it with `of`; another momentum is `dataclasses.replace(denoiser, momentum=…)`, which shares the weights.
    """

    unet: Any
    process: Process
    momentum: Momentum | None = None
    latent_scale: float = 1.0
    backbone: Backbone = IMAGES

    @classmethod
    def of(cls, unet: Any, process: Process, latent_scale: float = 1.0) -> ImageDenoiser:
        unet.requires_grad_(False).eval()
        install_processors(unet)
        return cls(unet, process, latent_scale=latent_scale)

    def __call__(
        self,
        latents: Tensor,
        timesteps: Tensor,
        conditioning: Tensor | Conditioning,
        patches: Sequence[PreparedPatch] = (),
    ) -> Tensor:
        videos, frames = len(latents), latents.shape[2]
        tied = self._tied(videos, frames, timesteps)
        text = conditioning if isinstance(conditioning, Tensor) else conditioning.text
        predicted = self.unet(
            rearrange(self._beside_picture(latents, conditioning), "b c f h w -> (b f) c h w"),
            timesteps.repeat_interleave(frames),
            text.repeat_interleave(frames, 0),
            cross_attention_kwargs={} if tied is None else {"momentum": tied},
            return_dict=False,
        )[0]
        return rearrange(predicted, "(b f) c h w -> b c f h w", b=videos)

    @property
    def edits(self) -> bool:
        """Whether the UNet takes a given picture's latents beside those that it predicts."""
        return self.unet.config.in_channels == 2 * self.unet.config.out_channels

    def _beside_picture(self, latents: Tensor, conditioning: Tensor | Conditioning) -> Tensor:
        if not self.edits:
            return latents
        if isinstance(conditioning, Tensor):
            return torch.cat([latents, torch.zeros_like(latents)], 1)
        return torch.cat([latents, conditioning.parts[PICTURE] / self.latent_scale], 1)

    def _tied(self, videos: int, frames: int, timesteps: Tensor) -> FramesOf | None:
        """None where nothing acts. All videos are at the same point of sampling."""
        momentum = self.momentum
        if momentum is None or frames == 1:
            return None
        # Reading the timestep waits for the GPU.
        progress = 0.0 if momentum.constant else self.process.progress(timesteps[0].item())
        if not momentum.acts_at(progress):
            return None
        return FramesOf(momentum, videos, frames)

    @property
    def abilities(self) -> Abilities:
        return Abilities(IMAGES.family, self.unet, (TEXT_TOKENS, self.unet.config.cross_attention_dim))

    def spatial_linears(self) -> Mapping[str, nn.Linear]:
        """None: motion is not learned on an image model."""
        return {}
