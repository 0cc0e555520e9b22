"""Motion Inversion as this library does it: a preset, learned and applied."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...backbones import VideoModel
from ...backbones.accelerate.training_modes import accelerated, plan_training
from ...diffusion.noise import mix
from ...method.algebra import place
from ...method.application import Application
from ...method.embedding import MotionEmbedding
from ...method.integration import EXTRA_CHANNELS
from ...training.loop import TrainingRun, train_together
from ...training.losses import SPATIAL
from ...training.presets import Preset
from ...training.state import TrainingState
from ...video.look import STAND_INS
from ..cases import Case
from .base import Reference, Request, generate


@dataclass(frozen=True)
class MotionInversion:
    """preset: what is learned and how it is applied; noise: how its weight of inverted noise is mixed in,
    and whether to unit variance. look: in which the clip is learned from, one of LOOKS_TO_LEARN_FROM (see
    video/look.py). rank: of a concatenated embedding. to_object: whether the motion is moved to where the object of a
    video's picture is."""

    preset: Preset
    noise: str = "blend"
    renormalise: bool = False
    look: str = "as_it_is"
    rank: int = EXTRA_CHANNELS
    to_object: bool = False

    @property
    def recipe(self) -> Hashable:
        """Training does not see how the embedding is applied."""
        learned = replace(self.preset, about="", application=Application())
        return replace(self, preset=learned, noise="blend", renormalise=False, to_object=False)

    @property
    def together(self) -> bool:
        """Whether many clips can be learned in one batch."""
        several = self.look == STAND_INS
        return not several and self.preset.settings.loss not in SPATIAL and self.preset.components != "none"

    def learn(self, model: VideoModel, reference: Reference) -> MotionEmbedding:
        if self.preset.components == "none":  # what the start noise does alone
            return self.start(model, reference)
        (learned,) = self.learn_together(model, [reference])
        return learned

    def learn_together(self, model: VideoModel, references: Sequence[Reference]) -> list[MotionEmbedding]:
        """What is learned from each, in one batch, as a file holds it."""
        runs = []
        for reference in references:
            shown = self.shown(model, reference.case)
            latents = reference.latents
            if shown[0] is not reference.case:
                latents = torch.cat([model.encode_video(case.frames) for case in shown])
            state = self.state(model, reference)
            firsts = None
            if state.settings.picture == "own":
                firsts = torch.cat([model.first_frame(case.frames[0], latents.shape) for case in shown])
            text = model.conditioning([case.prompt for case in shown], firsts)
            runs.append(TrainingRun(latents.to(reference.latents), text, state))
        plan = plan_training(model.denoiser, "auto", runs[0].latents.shape, runs[0].state.embedding)
        with accelerated(model.denoiser, plan) as denoiser:
            for _ in train_together(denoiser, runs):
                pass
        return [run.state.learned.to(dtype=torch.float16) for run in runs]

    def shown(self, model: VideoModel, case: Case) -> list[Case]:
        """What is learned from, instead of a case."""
        return case.stand_ins() if self.look == STAND_INS else [case.in_look(self.look, model.redraw)]

    def start(self, model: VideoModel, reference: Reference) -> MotionEmbedding:
        _, _, frames, height, width = reference.latents.shape
        return self.preset.empty(model.denoiser.backbone, frames, (height, width), self.rank)

    def state(self, model: VideoModel, reference: Reference) -> TrainingState:
        """Where learning from a clip of this shape begins; a first frame is given where the videos get one."""
        preset = self.preset
        if model.denoiser.abilities.pictures and preset.settings.picture is None:
            picture = "own" if reference.case.pictures else "none"
            preset = replace(preset, settings=replace(preset.settings, picture=picture))
        settings = preset.suiting(model.denoiser).settings
        return TrainingState.start(self.start(model, reference), settings, model.device)

    def sample(self, model: VideoModel, reference: Reference, learned: MotionEmbedding, request: Request) -> Tensor:
        way = self.preset.application
        fresh = reference.carried(request) if way.camera_end else request.fresh
        noise = mix(reference.inverted, fresh, way.noise_weight, self.noise, self.renormalise)
        learned, camera = learned.to(dtype=torch.float32), reference.holding(way.camera_end, way.objects)
        if not self.to_object or not reference.case.starts:
            return generate(model, request, noise, [way.patch(learned)], camera)
        made = []
        for one, start in zip(request.apart(), noise.split(1), strict=True):
            x, y = reference.case.start_of(one.prompts[0]).offset
            made.append(generate(model, one, start, [way.patch(place(learned, x / 2, y / 2))], camera))
        return torch.cat(made)

    def shared(self, reference: Reference, learned: MotionEmbedding) -> dict[str, Tensor]:
        inverted = {"inverted": reference.inverted} if self.preset.application.noise_weight else {}
        return {**learned.tensors, **inverted}
