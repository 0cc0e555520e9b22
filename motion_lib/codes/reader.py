"""Reading a clip: one pass of the encoder, and everything that follows from its codes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..camera.path import CameraPath, pixel_centres
from ..errors import MotionError
from ..method.application import APPLICATIONS, STACKED_OBJECT
from ..method.embedding import Backbone, MotionEmbedding
from ..method.records import Origin
from .inputs import INPUTS
from .model import MotionCodes
from .seen import Seen
from .words import sentence, words_of_cameras, words_of_objects

LEAST_CAMERA = 0.075  # what 5 in 100 clips of a still camera are read above, and of a moving one below
WIDER = 1.5  # than an object's size: what `covers` leaves to it


@dataclass(frozen=True)
class Reading:
    """What is read of one clip.

    codes `[f, k, width]`. vectors: `[described]` of each group, to compare motions by. path `[f, 2]` in half image
    sides, scale `[f]` as ln of the size, angle `[f]` in radians since the first frame, looks `[f, 4]`: where the camera
    looks, ln zoom and roll; all as far as the codes say it. distance: of the codes from those of training, about 1 for
    what it has seen; most: within which 99 % of unseen clips of the same kind lie. look: the one in which the clip was
    read (see video/look.py). camera_lost: the clip's camera moves, but not in that look. camera_measured: whether
    looks are not read off codes but measured in the clip, by points that are followed.
    """

    codes: Tensor
    vectors: dict[str, Tensor]
    path: Tensor
    scale: Tensor
    angle: Tensor
    looks: Tensor
    distance: float
    most: float
    look: str = "as_it_is"
    camera_lost: bool = False
    camera_measured: bool = False

    @property
    def familiar(self) -> bool:
        """Is the clip, in the look in which it was read, like those that the encoder has seen?"""
        return self.distance <= self.most

    @property
    def warning(self) -> str | None:
        """A sentence about a clip outside what the encoder has seen, or one of which a part was not read; None for the
        others."""
        if self.familiar and self.camera_lost:
            return (
                "The camera of this clip seems to move, but once the model has drawn the clip again its background no "
                "longer shows how, and nothing can be followed in it: only the object's motion was read."
            )
        if self.familiar:
            return None
        return (
            f"This clip is unlike those that the encoder was trained on: its codes are {self.distance:.1f} away from "
            f"theirs, and those of 99 in 100 such clips at most {self.most:.1f}. What was read of its motion may be "
            f"wrong; train an embedding instead."
        )

    @property
    def camera(self) -> CameraPath:
        """One that stands still where `camera_moves` says so: errors of its steps would add up."""
        path = camera_path(self.looks)
        return path if self.camera_moves else path.scaled(0.0)

    @property
    def object_moves(self) -> bool:
        """Does the object go anywhere, grow or turn, as far as the heads can tell?"""
        still = (self.path.std(dim=0).norm() < 0.06, self.scale.std() < 0.08, self.angle.std() < 0.3)
        return not all(bool(each) for each in still)

    @property
    def camera_moves(self) -> bool:
        """Does the background move, as far as the heads can tell?"""
        path = camera_path(self.looks)
        return float(path.shift.std(dim=0).norm() + path.log_zoom.std() + path.roll.std()) > LEAST_CAMERA

    @property
    def preset(self) -> str:
        """The preset whose application suits what was read."""
        if not self.camera_moves:
            return "object"
        return "hybrid" if self.object_moves else "camera"

    def covers(self, height: int, width: int) -> Tensor:
        """Where the object is, as far as the heads can tell, `[f, height, width]` from 0 to 1: a disc somewhat larger
        than it, whose edge is soft. What holds a video to a camera leaves it alone."""
        points = pixel_centres((height, width), torch.device("cpu"))
        away = (points - self.path[:, None]).norm(dim=-1).unflatten(1, (height, width))
        reach = WIDER * self.scale.exp()[:, None, None]
        return (1 + (reach - away) * min(height, width) / 2).clamp(0, 1)

    def crossed(self, camera: Reading) -> Tensor:
        """Codes `[f, k, width]` with the object of this clip and the camera of the other."""
        return torch.stack([self.codes[:, 0], camera.codes[:, 1]], dim=1)


@dataclass(frozen=True)
class Reader:
    """An encoder with its decoder, ready to use. name: tells it from others, by its file."""

    codes: MotionCodes
    seen: Seen
    name: str = ""

    def to(self, device: torch.device | str) -> Reader:
        return replace(self, codes=self.codes.to(device), seen=self.seen.to(device))

    @property
    def backbone(self) -> Backbone:
        """That of the video models that it is for."""
        return self.codes.decoder.empty.backbone

    @property
    def model(self) -> str:
        """The name of the video model that it was trained with."""
        return self.codes.decoder.empty.origin.model or self.backbone.family

    @property
    def needs_latents(self) -> bool:
        return INPUTS[self.codes.design.inputs].latents

    @torch.no_grad()
    def read(self, frames: Tensor, latents: Tensor | None = None) -> Reading:
        """Of frames uint8 `[f, h, w, 3]`; latents `[1, c, f, h, w]` of them, if `needs_latents`.

        A clip of another length is read at as many frames as the encoder takes, spread evenly over it. Raises
        MotionError for fewer than two frames.
        """
        if len(frames) < 2:
            raise MotionError(f"The clip has {len(frames)} frame, but a motion needs at least 2: choose a longer clip.")
        if self.needs_latents and latents is None:
            raise MotionError(f"This encoder reads the latents of {self.model}: give them as well.")
        device = next(self.codes.parameters()).device
        pixels = evenly(frames, self.codes.design.frames).permute(0, 3, 1, 2)[None].to(device).float() / 255
        codes, _ = self.codes.encode(pixels, None if latents is None else latents.to(device).float())
        read = self.codes.truths(codes)
        return Reading(
            codes=codes[0],
            vectors={group: vector[0] for group, vector in self.codes.described(codes).items()},
            path=read["path"][0].cpu(),
            scale=read["scale"][0, :, 0].cpu(),
            angle=read["angle"][0, :, 0].cpu(),
            looks=self.codes.looks(codes)[0].cpu(),
            distance=float(self.seen.distance(codes)[0]),
            most=self.seen.most,
        )

    @torch.no_grad()
    def embedding(self, codes: Tensor, preset: str = "object") -> MotionEmbedding:
        """Of codes `[f, k, width]`, with the advice of this preset."""
        made = self.codes.embedding(codes)
        usual = STACKED_OBJECT if made.backbone.stacked else APPLICATIONS[preset]
        origin = Origin(preset=preset, model=made.origin.model)
        return replace(made, origin=origin, advice=usual.advice())

    def words(self, reading: Reading) -> dict[str, str]:
        """The words that say the motion of each group, by what the heads read of it."""
        # Errors of a camera that stands still add up to a way, which would be said to shake.
        camera = reading.looks if reading.camera_moves else torch.zeros_like(reading.looks)
        said = {
            "object": words_of_objects(reading.path[None], reading.scale.exp()[None], reading.angle[None])[0],
            "camera": words_of_cameras(camera[None, :, :2], camera[None, :, 2].exp(), camera[None, :, 3])[0],
        }
        return {group: sentence(chosen, group) for group, chosen in said.items()}


def evenly(frames: Tensor, count: int) -> Tensor:
    """So many frames, spread evenly over these."""
    return frames[torch.linspace(0, len(frames) - 1, count).round().long()]


def looks_along(path: CameraPath) -> Tensor:
    """Where a camera looks along its path, `[f, 4]`, as the head would say it."""
    return torch.cat([path.to_world(torch.zeros(1, 2))[:, 0], path.log_zoom[:, None], path.roll[:, None]], dim=1)


def camera_path(values: Tensor) -> CameraPath:
    """Of what the head reads, `[f, 4]`: where the camera looks, ln zoom and roll. A point of the world that lies at w
    is seen at zoom · R(roll) · (w − camera)."""
    zoom, roll = values[:, 2].exp(), values[:, 3]
    moved = zoom[1:, None] * (values[:-1, :2] - values[1:, :2])
    c, s = roll[1:].cos(), roll[1:].sin()
    shift = torch.stack([c * moved[:, 0] - s * moved[:, 1], s * moved[:, 0] + c * moved[:, 1]], dim=-1)
    return CameraPath.of_steps(shift, values[:, 2].diff(), values[:, 3].diff())
