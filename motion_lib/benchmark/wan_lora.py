"""A LoRA as common trainers learn it for Wan: on all projections of every self-attention, every block computed again in
the backward pass."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..backbones.accelerate.recomputed_pass import RecomputedPass
from ..backbones.wan.denoiser import WanDenoiser
from ..method.patch import PreparedPatch
from ..training.learner import LearningState
from ..training.linear_changes import changed, new_lora, ready_to_learn
from ..training.settings import TrainingSettings
from .methods.joint_lora import LAYERS

RANK = 32


class EveryBlockAgain:
    """A Denoiser whose blocks are all computed again in the backward pass."""

    def __init__(self, inner: WanDenoiser):
        self.process, self.backbone = inner.process, inner.backbone
        self.spatial_linears = inner.spatial_linears
        self.run = RecomputedPass(inner, list(inner.network.blocks), inner.context)

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Any, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        return self.run(latents, timesteps, conditioning, patches)


@dataclass
class LoRALearner:
    """The Learner of a LoRA on these layers, in float32. The layers have it until the backward pass is over, since
    blocks are computed again there."""

    layers: Mapping[str, nn.Linear]
    settings: TrainingSettings
    tensors: Mapping[str, Tensor]
    optimizer: torch.optim.AdamW
    grids: Mapping[str, tuple[int, int]] = field(default_factory=dict, init=False)

    def rate(self, step: int) -> float:
        return self.settings.rate(step)

    def prepare(self, denoiser: Any, latents: Tensor) -> None:
        """Its layers are those of the model."""

    @contextmanager
    def acting(self, clean: Tensor, learning: bool = True) -> Iterator[list[PreparedPatch]]:
        tensors = self.tensors if learning else {name: tensor.detach() for name, tensor in self.tensors.items()}
        with changed(self.layers, tensors):
            yield []


def lora_training(inner: WanDenoiser, steps: int, device: torch.device) -> LearningState[LoRALearner]:
    """A LoRA of rank 32 before its first step, by the plain objective over all of noise."""
    settings = TrainingSettings(steps=steps, learning_rate=1e-4)
    wanted = re.compile(rf"blocks\.\d+\.{LAYERS['attention']}")
    modules = inner.network.named_modules()
    layers = {name: m for name, m in modules if isinstance(m, nn.Linear) and wanted.fullmatch(name)}
    live = ready_to_learn(new_lora(layers, RANK, torch.Generator().manual_seed(0)), device)
    learner = LoRALearner(layers, settings, live, settings.optimizer(live.values()))
    return LearningState(learner, settings, torch.Generator().manual_seed(0))
