"""An image model that predicts the frames of videos side by side, as a Denoiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from einops import rearrange
from torch import Tensor, nn

from ..backbones.accelerate.abilities import Abilities
from ..diffusion.process import Process
from ..method.embedding import Backbone
from ..method.patch import PreparedPatch
from .attention import FramesOf, install_processors
from .momentum import Momentum

IMAGES = Backbone("unet2d", ())
TEXT_TOKENS = 77


@dataclass
class ImageDenoiser:
    """A Denoiser over a frozen UNet2DConditionModel whose batch is the frames of all videos; conditioning is text
    embeddings `[b, tokens, width]`, the same for every frame. It has no temporal layers, so no motion embedding fits.

    Make it with `of`; another momentum is `dataclasses.replace(denoiser, momentum=…)`, which shares the weights.
    """

    unet: Any
    process: Process
    momentum: Momentum | None = None
    backbone: Backbone = IMAGES

    @classmethod
    def of(cls, unet: Any, process: Process) -> ImageDenoiser:
        unet.requires_grad_(False).eval()
        install_processors(unet)
        return cls(unet, process)

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Tensor, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        videos, frames = len(latents), latents.shape[2]
        tied = self._tied(videos, frames, timesteps)
        predicted = self.unet(
            rearrange(latents, "b c f h w -> (b f) c h w"),
            timesteps.repeat_interleave(frames),
            conditioning.repeat_interleave(frames, 0),
            cross_attention_kwargs={} if tied is None else {"momentum": tied},
            return_dict=False,
        )[0]
        return rearrange(predicted, "(b f) c h w -> b c f h w", b=videos)

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
