"""Motion codes: what an encoder reads of a clip in one pass, applied as trained embeddings are."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...backbones import VideoModel
from ...camera.alignment import CameraAlignment, apart_from_camera
from ...camera.noise_warping import warped_noise
from ...codes.from_clip import bundled_reader
from ...codes.reader import Reading
from ...diffusion.noise import mix
from ...errors import MotionError
from ...method.application import APPLICATIONS
from ...method.embedding import MotionEmbedding
from .base import Reference, Request, generate


@dataclass(frozen=True)
class OnePass:
    """Nothing is trained; the camera is what is read as well, and nothing of the clip is followed."""

    @property
    def recipe(self) -> Hashable:
        return self

    def learn(self, model: VideoModel, reference: Reference) -> tuple[Reading, MotionEmbedding]:
        reader = bundled_reader(model.name, model.denoiser.backbone, model.device)
        if reader is None:
            raise MotionError(f"one_pass needs an encoder of motion codes, and none comes with {model.name}.")
        reading = reader.read(reference.case.frames, reference.latents if reader.needs_latents else None)
        return reading, reader.embedding(reading.codes, reading.preset)

    def sample(
        self, model: VideoModel, reference: Reference, learned: tuple[Reading, MotionEmbedding], request: Request
    ) -> Tensor:
        reading, embedding = learned
        way, fresh, held = APPLICATIONS[reading.preset], request.fresh, None
        if reading.camera_moves and way.camera_end:
            camera = reading.camera.to(model.device)
            apart = apart_from_camera(reference.latents, camera, way.objects) if way.objects else None
            held = CameraAlignment(camera, end=way.camera_end, apart=apart)
            shape = (1, *fresh.shape[1:])
            fresh = torch.cat([warped_noise(camera, shape, seed, fresh) for seed in request.seeds])
        noise = mix(reference.inverted, fresh, way.noise_weight)
        return generate(model, request, noise, [way.patch(embedding)], held)

    def shared(self, reference: Reference, learned: tuple[Reading, MotionEmbedding]) -> dict[str, Tensor]:
        return learned[1].tensors
