"""Motion Inversion as this library does it: a preset, learned and applied."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...backbones import VideoModel
from ...backbones.modes import accelerated, plan_training
from ...embedding import MotionEmbedding
from ...noise import mix
from ...presets import APPLICATION, Preset
from ...training import TrainingSettings, TrainingState, train
from .base import Reference, Request, generate

_PLAIN = Preset(about="", settings=TrainingSettings())


@dataclass(frozen=True)
class MotionInversion:
    """preset: what is learned and how it is applied; noise: how its weight of inverted noise is mixed in,
    and whether to unit variance."""

    preset: Preset
    noise: str = "blend"
    renormalise: bool = False

    @property
    def recipe(self) -> Hashable:
        """Training does not see how the embedding is applied."""
        return replace(self.preset, about="", noise_weight=0.0, **{name: getattr(_PLAIN, name) for name in APPLICATION})

    def learn(self, model: VideoModel, reference: Reference) -> MotionEmbedding:
        latents, preset = reference.latents, self.preset
        embedding = preset.empty(model.denoiser.backbone, latents.shape[2], (latents.shape[3], latents.shape[4]))
        if not embedding.tensors:  # components none: what the start noise does alone
            return embedding
        state = TrainingState.start(embedding, preset.settings, model.device)
        text = model.encode_prompt([reference.case.prompt])
        with accelerated(model.denoiser, plan_training(model.denoiser, "auto", latents.shape, embedding)) as ready:
            for _ in train(ready, latents, text, state):
                pass
        return state.learned.to(dtype=torch.float16)  # as a file holds it

    def sample(self, model: VideoModel, reference: Reference, learned: MotionEmbedding, request: Request) -> Tensor:
        noise = mix(reference.inverted, request.fresh, self.preset.noise_weight, self.noise, self.renormalise)
        return generate(model, request, noise, [self.preset.patch(learned.to(dtype=torch.float32))])

    def shared(self, reference: Reference, learned: MotionEmbedding) -> dict[str, Tensor]:
        inverted = {"inverted": reference.inverted} if self.preset.noise_weight else {}
        return {**learned.tensors, **inverted}
