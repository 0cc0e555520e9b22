"""Motion codes: what an encoder reads of a clip in one pass, applied as trained embeddings are, or trained further."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...backbones import VideoModel
from ...camera.alignment import CameraAlignment
from ...camera.noise_warping import warped_noise
from ...camera.path import CameraPath
from ...codes.from_clip import bundled_reader, reader_of, start_of
from ...codes.looks import AUTO, read_clip
from ...codes.reader import Reader, Reading
from ...diffusion.noise import mix
from ...errors import MotionError
from ...method.application import APPLICATIONS
from ...method.embedding import MotionEmbedding
from .base import Reference, Request, generate
from .motion_inversion import MotionInversion


@dataclass(frozen=True)
class Read:
    """What was made of a clip, or of the object of one and the camera of another. own: what the clip of the object
    shows; camera: the path to hold videos to, if it moves; inverted: the clip's noise, of which two clips have none in
    common."""

    embedding: MotionEmbedding
    own: Reading
    camera: CameraPath | None
    inverted: Tensor | None = None


@dataclass(frozen=True)
class OnePass:
    """Nothing is trained; the camera is what is read as well, and nothing of the clip is followed. Of a case of two
    parts, its own clip, which shows both together, is not seen. codes: the encoder's file, or none for the bundled
    one; look: in which a clip is read."""

    codes: str = ""
    look: str = AUTO

    @property
    def recipe(self) -> Hashable:
        return self

    def learn(self, model: VideoModel, reference: Reference) -> Read:
        reader, parts = reader_for(model, self.codes), reference.case.parts
        if parts:
            looks = self.look, "as_it_is"  # a camera is read off the background
            own, other = (_reading(model, reader, p.frames, None, look) for p, look in zip(parts, looks, strict=True))
            return Read(reader.embedding(own.crossed(other), "hybrid"), own, other.camera)
        reading = _reading(model, reader, reference.case.frames, reference.latents, self.look)
        embedding = reader.embedding(reading.codes, reading.preset)
        return Read(embedding, reading, reading.camera if reading.camera_moves else None, reference.inverted)

    def sample(self, model: VideoModel, reference: Reference, learned: Read, request: Request) -> Tensor:
        way, fresh, held = APPLICATIONS[learned.embedding.origin.preset or "object"], request.fresh, None
        if learned.camera is not None and way.camera_end:
            camera = learned.camera.to(model.device)
            apart = learned.own.covers(*fresh.shape[3:]) if way.objects else None
            held = CameraAlignment(camera, end=way.camera_end, apart=apart)
            shape = (1, *fresh.shape[1:])
            fresh = torch.cat([warped_noise(camera, shape, seed, fresh) for seed in request.seeds])
        noise = fresh if learned.inverted is None else mix(learned.inverted, fresh, way.noise_weight)
        return generate(model, request, noise, [way.patch(learned.embedding)], held)

    def shared(self, reference: Reference, learned: Read) -> dict[str, Tensor]:
        return learned.embedding.tensors


@dataclass(frozen=True)
class FromCodes(MotionInversion):
    """Training that begins with what is read of the clip instead of nothing."""

    codes: str = ""

    def start(self, model: VideoModel, reference: Reference) -> MotionEmbedding:
        reader = reader_for(model, self.codes)
        reading = _reading(model, reader, reference.case.in_look(self.look, model.redraw).frames, reference.latents)
        empty = super().start(model, reference)
        return start_of(reader.embedding(reading.codes), empty, self.preset.settings.train_debias)


def reader_for(model: VideoModel, codes: str) -> Reader:
    """The encoder in this file, or the bundled one of this model. Raises MotionError where there is none that fits."""
    if codes:
        reader = reader_of(codes, model.device)
        reader.codes.decoder.empty.check_fits(model.denoiser.backbone, "What this encoder of motion codes makes")
        return reader
    reader = bundled_reader(model.name, model.denoiser.backbone, model.device)
    if reader is None:
        raise MotionError(f"one_pass and from_codes need an encoder of motion codes; none comes with {model.name}.")
    return reader


def _reading(model: VideoModel, reader: Reader, frames: Tensor, latents: Tensor | None, look: str = AUTO) -> Reading:
    if reader.needs_latents and latents is None:
        latents = model.encode_video(frames)
    return read_clip(reader, frames, look, latents if reader.needs_latents else None, model.redraw)
