"""What every method of motion transfer is to the benchmark."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from ...backbones import VideoModel
from ...camera.alignment import CameraAlignment, apart_from_camera
from ...camera.measure import follow_camera
from ...camera.noise_warping import warped_noise
from ...camera.path import CameraPath
from ...camera.tracks import Tracker
from ...errors import MotionError
from ...method.patch import MotionPatch
from ..cases import Case


@dataclass(frozen=True)
class Reference:
    """latents: the clip's, `[1, c, f, h, w]`; inverted: its noise by inversion, of that shape; tracker: what follows
    points."""

    case: Case
    latents: Tensor
    inverted: Tensor
    tracker: str | Tracker = "lucas_kanade"

    @cached_property
    def camera(self) -> CameraPath | None:
        """Its path as measured in the clip, None where no background can be followed."""
        try:
            return follow_camera(self.case.frames, self.tracker)
        except MotionError:  # nothing to follow
            return None

    def holding(self, camera_end: float, objects: float) -> CameraAlignment | None:
        """What holds a video to this camera until `camera_end` of sampling, if there is one; objects: the threshold
        from which on places that move apart from it are left alone, 0 for none."""
        if self.camera is None or not camera_end:
            return None
        apart = apart_from_camera(self.latents, self.camera, objects) if objects else None
        return CameraAlignment(self.camera, end=camera_end, apart=apart)

    def carried(self, request: Request) -> Tensor:
        """The request's fresh noise as this camera carries it, `[b, c, f, h, w]`."""
        if self.camera is None:
            return request.fresh
        shape = (1, *request.fresh.shape[1:])
        return torch.cat([warped_noise(self.camera, shape, seed, request.fresh) for seed in request.seeds])


@dataclass(frozen=True)
class Request:
    """The videos to make in one go: a prompt, a seed and fresh Gaussian noise for each, `[b, c, f, h, w]`. pictures:
    what each begins with, uint8 `[h, w, 3]`, or none at all."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    fresh: Tensor
    steps: int
    guidance: float
    pictures: tuple[Tensor, ...] = ()

    def apart(self) -> list[Request]:
        """A request for each of the videos."""
        each = zip(
            self.prompts, self.seeds, self.fresh.split(1), self.pictures or [None] * len(self.seeds), strict=True
        )
        return [
            replace(self, prompts=(prompt,), seeds=(seed,), fresh=fresh, pictures=() if own is None else (own,))
            for prompt, seed, fresh, own in each
        ]


class Method(Protocol):
    """A frozen dataclass whose fields are the settings.

    recipe: what decides what is learned; methods of equal recipe share it. Whatever a method does to the model's
    weights, they are bit for bit the same when it is done.
    """

    @property
    def recipe(self) -> Hashable: ...

    def learn(self, model: VideoModel, reference: Reference) -> Any: ...

    def sample(self, model: VideoModel, reference: Reference, learned: Any, request: Request) -> Tensor:
        """Latents `[b, c, f, h, w]` of the videos."""
        ...

    def shared(self, reference: Reference, learned: Any) -> dict[str, Tensor]:
        """What has to be given on to make more videos of this motion."""
        ...


class Untrained:
    """The parts of a method that learns nothing."""

    @property
    def recipe(self) -> Hashable:
        return "nothing"

    def learn(self, model: VideoModel, reference: Reference) -> Any:
        return None

    def shared(self, reference: Reference, learned: Any) -> dict[str, Tensor]:
        return {}


def generate(
    model: VideoModel,
    request: Request,
    noise: Tensor,
    patches: Sequence[MotionPatch] = (),
    camera: CameraAlignment | None = None,
) -> Tensor:
    """Latents of the requested videos by the library's own sampler."""
    chosen: dict[str, Any] = {
        "patches": patches,
        "camera": camera,
        "steps": request.steps,
        "guidance": request.guidance,
    }
    if not request.pictures:
        return model.sample(request.prompts, noise, **chosen, fast=False)
    each = zip(request.prompts, noise.split(1), request.pictures, strict=True)
    return torch.cat([model.sample(text, start, picture=own, **chosen, fast=False) for text, start, own in each])
