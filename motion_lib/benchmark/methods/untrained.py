"""Methods without training: nothing, the start noise alone, and the right answer itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...backbones import VideoModel
from ...diffusion.noise import mix
from ...errors import MotionError
from ..pictures import answer
from .base import Reference, Request, Untrained, generate


@dataclass(frozen=True)
class NoMotion(Untrained):
    """The model left to itself."""

    def sample(self, model: VideoModel, reference: Reference, learned: Any, request: Request) -> Tensor:
        return generate(model, request, request.fresh)


@dataclass(frozen=True)
class NoiseOnly(Untrained):
    """The model left to itself, from a start noise that holds a `noise_weight` of the reference's."""

    noise: str = "blend"
    noise_weight: float = 0.5
    renormalise: bool = False

    def sample(self, model: VideoModel, reference: Reference, learned: Any, request: Request) -> Tensor:
        noise = mix(reference.inverted, request.fresh, self.noise_weight, self.noise, self.renormalise)
        return generate(model, request, noise)

    def shared(self, reference: Reference, learned: Any) -> dict[str, Tensor]:
        return {"inverted": reference.inverted}


@dataclass(frozen=True)
class CameraOnly(Untrained):
    """The camera's path as measured in the reference: start noise carried along it if `warped`, and the video held to
    it until `camera_end` of sampling; for objects see Reference.holding."""

    warped: bool = True
    camera_end: float = 1.0
    objects: float = 0.0

    def sample(self, model: VideoModel, reference: Reference, learned: Any, request: Request) -> Tensor:
        noise = reference.carried(request) if self.warped else request.fresh
        return generate(model, request, noise, camera=reference.holding(self.camera_end, self.objects))

    def shared(self, reference: Reference, learned: Any) -> dict[str, Tensor]:
        return {} if reference.camera is None else {"camera": torch.tensor(reference.camera.rows())}


@dataclass(frozen=True)
class RenderedTruth(Untrained):
    """The answer: the prompt's own words rendered with the reference's motion, through the model's autoencoder. What it
    falls short of a perfect score is the error of the measures."""

    def sample(self, model: VideoModel, reference: Reference, learned: Any, request: Request) -> Tensor:
        case = reference.case
        if case.truth is None:
            raise MotionError(f"The motion of {case.name} is not known, so the method truth cannot render it.")
        return torch.cat([model.encode_video(video) for video in answer(case, request.prompts, request.seeds)])
