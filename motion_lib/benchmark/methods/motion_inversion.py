"""Motion Inversion as this library does it: a preset, learned and applied."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...backbones import VideoModel
from ...backbones.accelerate.training_modes import accelerated, plan_training
from ...diffusion.noise import mix
from ...method.application import Application
from ...method.embedding import MotionEmbedding
from ...training.loop import TrainingRun, train_together
from ...training.losses import SPATIAL
from ...training.presets import Preset
from ...training.state import TrainingState
from .base import Reference, Request, generate


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
        return replace(self.preset, about="", application=Application())

    @property
    def together(self) -> bool:
        """Whether many clips can be learned in one batch."""
        return self.preset.settings.loss not in SPATIAL and self.preset.components != "none"

    def learn(self, model: VideoModel, reference: Reference) -> MotionEmbedding:
        if self.preset.components == "none":  # what the start noise does alone
            return self._start(model, reference)
        (learned,) = self.learn_together(model, [reference])
        return learned

    def learn_together(self, model: VideoModel, references: Sequence[Reference]) -> list[MotionEmbedding]:
        """What is learned from each, in one batch, as a file holds it."""
        settings, runs = self.preset.settings, []
        for reference in references:
            text = model.encode_prompt([reference.case.prompt])
            state = TrainingState.start(self._start(model, reference), settings, model.device)
            runs.append(TrainingRun(reference.latents, text, state))
        plan = plan_training(model.denoiser, "auto", runs[0].latents.shape, runs[0].state.embedding)
        with accelerated(model.denoiser, plan) as denoiser:
            for _ in train_together(denoiser, runs):
                pass
        return [run.state.learned.to(dtype=torch.float16) for run in runs]

    def _start(self, model: VideoModel, reference: Reference) -> MotionEmbedding:
        _, _, frames, height, width = reference.latents.shape
        return self.preset.empty(model.denoiser.backbone, frames, (height, width))

    def sample(self, model: VideoModel, reference: Reference, learned: MotionEmbedding, request: Request) -> Tensor:
        way = self.preset.application
        fresh = reference.carried(request) if way.camera_end else request.fresh
        noise = mix(reference.inverted, fresh, way.noise_weight, self.noise, self.renormalise)
        patch = way.patch(learned.to(dtype=torch.float32))
        return generate(model, request, noise, [patch], reference.holding(way.camera_end, way.objects))

    def shared(self, reference: Reference, learned: MotionEmbedding) -> dict[str, Tensor]:
        inverted = {"inverted": reference.inverted} if self.preset.application.noise_weight else {}
        return {**learned.tensors, **inverted}
