"""Motion Inversion as this library does it: a preset, learned and applied."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...backbones import VideoModel
from ...backbones.accelerate.training_modes import accelerated, plan_training
from ...diffusion.denoiser import Denoiser
from ...diffusion.noise import mix
from ...method.application import Application
from ...method.embedding import MotionEmbedding
from ...training.batch import Lesson, train_together
from ...training.loop import TrainingSettings, TrainingState, train
from ...training.losses import SPATIAL
from ...training.presets import Preset
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
        start = self._start(model, reference)
        if not start.tensors:  # components none: what the start noise does alone
            return start
        lesson = _lesson(model, reference, start, self.preset.settings)
        with _ready(model, lesson) as denoiser:
            for _ in train(denoiser, lesson.latents, lesson.conditioning, lesson.state):
                pass
        return _kept(lesson)

    def learn_together(self, model: VideoModel, references: Sequence[Reference]) -> list[MotionEmbedding]:
        """What `learn` learns from each, in one batch."""
        settings = self.preset.settings
        lessons = [_lesson(model, each, self._start(model, each), settings) for each in references]
        with _ready(model, lessons[0]) as denoiser:
            for _ in train_together(denoiser, lessons):
                pass
        return [_kept(lesson) for lesson in lessons]

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


def _lesson(model: VideoModel, reference: Reference, start: MotionEmbedding, settings: TrainingSettings) -> Lesson:
    text = model.encode_prompt([reference.case.prompt])
    return Lesson(reference.latents, text, TrainingState.start(start, settings, model.device))


def _ready(model: VideoModel, lesson: Lesson) -> AbstractContextManager[Denoiser]:
    plan = plan_training(model.denoiser, "auto", lesson.latents.shape, lesson.state.embedding)
    return accelerated(model.denoiser, plan)


def _kept(lesson: Lesson) -> MotionEmbedding:
    """As a file holds it."""
    return lesson.state.learned.to(dtype=torch.float16)
