"""VMC (Jeong et al., arXiv 2312.00845): the query, key and value weights of temporal attention, learned in full with
the loss on how frames change, and videos made from the reference's own inverted noise."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

from torch import Tensor

from ...backbones import VideoModel
from ...diffusion.noise import mix
from ...training.settings import TrainingSettings
from .adapters import AdaptedDenoiser, Adapter, AdapterLearner
from .base import Reference, Request, generate
from .temporal_lora import TEMPORAL


@dataclass(frozen=True)
class TemporalFinetuning:
    """The change of the weights is kept apart from them, in float32: the same gradients, though weight decay then pulls
    to the model's weights and not to zero. noise_weight: of inverted noise in the start noise; 1 in the paper."""

    settings: TrainingSettings
    noise_weight: float = 1.0

    @property
    def recipe(self) -> Hashable:
        return replace(self, noise_weight=0.0)

    def learn(self, model: VideoModel, reference: Reference) -> Adapter:
        denoiser = AdaptedDenoiser(model)
        layers = denoiser.linears(TEMPORAL, _query_key_value)
        learner = AdapterLearner.start(denoiser, layers, self.settings, model.device)
        return learner.fit(reference.latents, model.encode_prompt([reference.case.prompt]))

    def sample(self, model: VideoModel, reference: Reference, learned: Adapter, request: Request) -> Tensor:
        noise, denoiser = mix(reference.inverted, request.fresh, self.noise_weight), AdaptedDenoiser(model)
        with denoiser.having(learned):
            return generate(replace(model, denoiser=denoiser), request, noise)

    def shared(self, reference: Reference, learned: Adapter) -> dict[str, Tensor]:
        inverted = {"inverted": reference.inverted} if self.noise_weight else {}
        return {**learned.tensors, **inverted}


def _query_key_value(name: str) -> bool:
    return name.endswith((".to_q", ".to_k", ".to_v"))
