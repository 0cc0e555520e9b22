"""LoRA on the blocks of a model whose attention sees frames and places at once, learned from one clip, as people train
them for such models: on the self-attention, or for motion on what values, outputs and feed-forward layers do."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...backbones import VideoModel
from ...diffusion.noise import mix
from ...errors import MotionError
from ...training.linear_changes import new_lora
from ...training.settings import TrainingSettings
from .adapters import AdaptedDenoiser, Adapter, AdapterLearner
from .base import Reference, Request, generate

# What `layers` may be, by the names of linear layers inside a block.
LAYERS = {
    "attention": r"attn1\.(to_q|to_k|to_v|to_out\.0)",
    "motion": r"(attn1\.(to_v|to_out\.0)|ffn\..*)",
}


@dataclass(frozen=True)
class JointLoRA:
    """layers: one of LAYERS. strength: a factor on it while videos are made. noise_weight: of inverted noise in the
    start noise."""

    settings: TrainingSettings
    layers: str = "attention"
    rank: int = 32
    strength: float = 1.0
    noise_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.layers not in LAYERS:
            raise MotionError(f"layers is '{self.layers}', but it must be one of {', '.join(LAYERS)}.")

    @property
    def recipe(self) -> Hashable:
        return replace(self, strength=1.0, noise_weight=0.0)

    def learn(self, model: VideoModel, reference: Reference) -> Adapter:
        denoiser, settings = AdaptedDenoiser(model), self.settings
        wanted = re.compile(rf"blocks\.\d+\.{LAYERS[self.layers]}")
        layers = denoiser.linears("WanTransformerBlock", lambda name: wanted.fullmatch(name) is not None)
        start = new_lora(layers, self.rank, torch.Generator().manual_seed(settings.seed))
        learner = AdapterLearner.start(denoiser, layers, settings, model.device, start)
        return learner.fit(reference.latents, model.encode_prompt([reference.case.prompt]))

    def sample(self, model: VideoModel, reference: Reference, learned: Adapter, request: Request) -> Tensor:
        noise, denoiser = mix(reference.inverted, request.fresh, self.noise_weight), AdaptedDenoiser(model)
        scaled = {name: t * (self.strength if name.endswith(".up") else 1) for name, t in learned.tensors.items()}
        with denoiser.having(replace(learned, tensors=scaled)):
            return generate(replace(model, denoiser=denoiser), request, noise)

    def shared(self, reference: Reference, learned: Adapter) -> dict[str, Tensor]:
        inverted = {"inverted": reference.inverted} if self.noise_weight else {}
        return {**learned.tensors, **inverted}
