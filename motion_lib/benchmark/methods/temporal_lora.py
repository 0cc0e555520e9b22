"""MotionDirector (Zhao et al., arXiv 2310.08465): LoRA on the temporal transformers, learned with the debiased loss
while a second LoRA on the spatial ones takes on the look, which is left out when videos are made."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ...backbones import VideoModel
from ...diffusion.noise import mix
from ...training.linear_changes import new_lora
from ...training.settings import TrainingSettings
from .adapters import AdaptedDenoiser, Adapter, AdapterLearner
from .base import Reference, Request, generate

TEMPORAL, SPATIAL = "TransformerTemporalModel", "Transformer2DModel"


@dataclass(frozen=True)
class TemporalLoRA:
    """rank of both LoRAs. spatial: learn the second one. noise_weight: of inverted noise in the start noise, which the
    paper mixes as Motion Inversion does (sec. 4.1)."""

    settings: TrainingSettings
    rank: int = 32
    spatial: bool = True
    strength: float = 1.0
    noise_weight: float = 0.5

    @property
    def recipe(self) -> Hashable:
        return replace(self, strength=1.0, noise_weight=0.0)

    def learn(self, model: VideoModel, reference: Reference) -> Adapter:
        denoiser, settings = AdaptedDenoiser(model), self.settings
        generator = torch.Generator().manual_seed(settings.seed)

        def start(layers: Mapping[str, nn.Linear]) -> AdapterLearner:
            tensors = new_lora(layers, self.rank, generator)
            return AdapterLearner.start(denoiser, layers, settings, model.device, tensors)

        learner, look = start(denoiser.linears(TEMPORAL, _inside_blocks)), None
        if self.spatial:  # self-attention and feed-forward: cross-attention is left to the prompt (sec. 3.2)
            spatial = denoiser.linears(SPATIAL, lambda name: _inside_blocks(name) and ".attn2." not in name)
            look = start(spatial)
        return learner.fit(reference.latents, model.encode_prompt([reference.case.prompt]), look)

    def sample(self, model: VideoModel, reference: Reference, learned: Adapter, request: Request) -> Tensor:
        noise, denoiser = mix(reference.inverted, request.fresh, self.noise_weight), AdaptedDenoiser(model)
        scaled = {name: t * (self.strength if name.endswith(".up") else 1) for name, t in learned.tensors.items()}
        with denoiser.having(replace(learned, tensors=scaled)):
            return generate(replace(model, denoiser=denoiser), request, noise)

    def shared(self, reference: Reference, learned: Adapter) -> dict[str, Tensor]:
        inverted = {"inverted": reference.inverted} if self.noise_weight else {}
        return {**learned.tensors, **inverted}


def _inside_blocks(name: str) -> bool:
    return ".transformer_blocks." in name
