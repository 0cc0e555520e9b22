"""MotionDirector (Zhao et al., arXiv 2310.08465): LoRA on the temporal transformers, learned with the debiased loss
while a second LoRA on the spatial ones takes on the look, which is left out when videos are made."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...backbones import VideoModel
from ...diffusion.noise import mix
from ...training.loop import TrainingSettings
from .adapters import Adapter, PlainDenoiser, fit
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
        denoiser = PlainDenoiser(model)
        generator = torch.Generator().manual_seed(self.settings.seed)
        adapter = Adapter.start(denoiser.linears(TEMPORAL, _inside_blocks), self.rank, model.device, generator)
        look = None
        if self.spatial:  # self-attention and feed-forward: cross-attention is left to the prompt (sec. 3.2)
            spatial = denoiser.linears(SPATIAL, lambda name: _inside_blocks(name) and ".attn2." not in name)
            look = Adapter.start(spatial, self.rank, model.device, generator)
        fit(denoiser, reference.latents, model.encode_prompt([reference.case.prompt]), self.settings, adapter, look)
        return adapter.detached()

    def sample(self, model: VideoModel, reference: Reference, learned: Adapter, request: Request) -> Tensor:
        noise = mix(reference.inverted, request.fresh, self.noise_weight)
        scaled = {name: (self.strength * up, down) for name, (up, down) in learned.changes.items()}
        with Adapter(learned.layers, scaled).acting():
            return generate(replace(model, denoiser=PlainDenoiser(model)), request, noise)

    def shared(self, reference: Reference, learned: Adapter) -> dict[str, Tensor]:
        tensors = {"inverted": reference.inverted} if self.noise_weight else {}
        for name, (up, down) in learned.changes.items():
            tensors |= {f"{name}.up": up, f"{name}.down": down}
        return tensors


def _inside_blocks(name: str) -> bool:
    return ".transformer_blocks." in name
