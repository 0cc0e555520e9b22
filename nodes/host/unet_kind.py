"""A MODEL of Load Motion Video Model as training and inversion see it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_sampling
import torch
from comfy.model_patcher import ModelPatcher
from einops import rearrange
from torch import Tensor

from ...motion_lib.diffusion.schedule import NoiseSchedule
from ...motion_lib.errors import MotionError
from ...motion_lib.method.embedding import Backbone, MotionEmbedding
from .kinds import Ready, part_for_each, plain
from .session import loaded


class UNet3DKind:
    """The host's latents have the frames as their batch, `[f, c, h, w]`."""

    frames_per_latent = 1

    def __init__(self, model: ModelPatcher):
        self.model = model

    @property
    def backbone(self) -> Backbone:
        return self.model.model.diffusion_model.backbone

    @property
    def name(self) -> str:
        return self.model.model.folder.name

    @property
    def source(self) -> str:
        return self.model.model.source

    @property
    def earlier_source(self) -> str:
        return self.model.model.earlier_source

    def process(self) -> NoiseSchedule:
        """ComfyUI's samplers end at σ = 0, so the clean end has ᾱ = 1."""
        sampling = self.model.get_model_object("model_sampling")
        if not hasattr(sampling, "sigmas") or not isinstance(sampling, comfy.model_sampling.EPS):
            raise MotionError(
                f"The MODEL is sampled as {type(sampling).__name__}, but ε or v prediction is needed: remove the node "
                f"that changes its sampling."
            )
        is_v = isinstance(sampling, comfy.model_sampling.V_PREDICTION)
        return NoiseSchedule(
            alphas_cumprod=1 / (1 + sampling.sigmas.double().cpu() ** 2),
            prediction="v_prediction" if is_v else "epsilon",
            spacing=self.model.model.spacing,
            steps_offset=self.model.model.steps_offset,
        )

    def latents(self, latent: dict[str, Any], device: torch.device, several: bool = False) -> Tensor:
        samples = plain(latent["samples"])
        channels = self.model.model.latent_format.latent_channels
        clips = rearrange(samples, "f c h w -> 1 c f h w") if samples.ndim == 4 else samples
        if clips.ndim != 5 or (len(clips) != 1 and not several) or clips.shape[1] != channels:
            raise MotionError(
                f"The LATENT has the shape {list(samples.shape)}, but [frames, {channels}, height, width] is needed: "
                f"encode the clip's frames with the VAE of Load Motion Video Model."
            )
        return self.model.model.process_latent_in(clips).to(device, torch.float32)

    def samples(self, latents: Tensor) -> Tensor:
        return rearrange(latents, "1 c f h w -> f c h w").contiguous()

    def conditioning(self, given: list | None, latents: Tensor, device: torch.device) -> Tensor:
        if given is None:
            return plain(self.model.model.empty_prompt()).to(device)
        if not given:
            raise MotionError("The CONDITIONING is empty: connect CLIP Text Encode.")
        tokens = torch.cat([plain(part[0])[:1] for part in part_for_each(given, len(latents))])
        width = self.model.model.diffusion_model.config.cross_attention_dim
        if tokens.ndim != 3 or not tokens.numel() or tokens.shape[-1] != width:
            raise MotionError(
                f"The CONDITIONING has the shape {list(tokens.shape)}, but [1, tokens, {width}] is needed: encode the "
                f"text with the CLIP of Load Motion Video Model."
            )
        return tokens.to(device)

    def ready_to_train(
        self, latents: Tensor, conditioning: Any, embedding: MotionEmbedding, save_memory: str, vae: Any
    ) -> Ready:
        from .training import ready_to_train  # needs diffusers, as what follows does

        return ready_to_train(self.model, _shape(latents), embedding, save_memory, vae)

    @contextmanager
    def ready_to_invert(self, latents: Tensor) -> Iterator[tuple[Any, torch.device]]:
        from .denoiser import ModelDenoiser

        with loaded(self.model, _shape(latents)) as device:
            yield ModelDenoiser(self.model), device


def _shape(latents: Tensor) -> tuple[int, ...]:
    _, channels, frames, height, width = latents.shape
    return frames, channels, height, width
