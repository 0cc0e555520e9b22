"""Groups of clips to learn codes from and to try them on: two object paths under each of two cameras, everything in
two looks, with the truth. A group is those eight clips.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ...backbones import VideoModel
from ...codes.inputs import SIDE, small
from ...codes.words import words_of_cameras, words_of_objects
from ..render import render
from ..scene import Scenes, texture_details
from ..vocabulary import COLOURS, SHAPES, TEMPLATES, TEXTURES, TONES, caption
from .motions import Cameras, Objects, random_cameras, random_objects

LOOKS, PATHS, CAMERAS = 2, 2, 2
GROUP = LOOKS * PATHS * CAMERAS
SHOW_THE_CAMERA = ("checkered", "dotted", "cloudy")  # along stripes a camera moves unseen, and over plain ground always
TURNS_SEEN = ("triangle", "star", "heart", "cross", "moon", "square")
UNSEEN = 900_000_000  # seeds of groups that training never draws
CHUNK = 64  # clips that are rendered at a time


@dataclass
class Groups:
    """g groups, by look, object path and camera: `[g, 2, 2, 2, …]`, of the objects' motions `[g, 2, …]`, and of the
    cameras'.

    frames: uint8 `[…, f, 3, s, s]`; latents `[…, c, f, h, w]`; text: of each clip's caption, `[…, tokens, width]`.
    Of the objects path `[…, f, 2]`, scale and angle `[…, f, 1]`; of the cameras camera `[…, f, 4]`. turning and
    showing: 0 or 1, whether a clip shows that its object turns, and what its camera does. object_words and
    camera_words: 0 and 1, `[…, words]`. look: shape, colour, tone and texture of every clip, `[…, 4]`.
    """

    frames: Tensor
    latents: Tensor
    text: Tensor
    path: Tensor
    scale: Tensor
    angle: Tensor
    camera: Tensor
    turning: Tensor
    showing: Tensor
    object_words: Tensor
    camera_words: Tensor
    look: Tensor

    def __len__(self) -> int:
        return len(self.frames)

    def map(self, change) -> Groups:
        return Groups(**{f.name: change(getattr(self, f.name)) for f in fields(self)})


def truth_of(groups: Groups, name: str) -> tuple[Tensor, Tensor]:
    """`[b, f, n]` for every clip of the groups, and `[b]` of whether it can be seen."""
    g, truth = len(groups), getattr(groups, name)
    whole = truth[:, None, None] if name == "camera" else truth[:, None, :, None]
    seen = {"angle": groups.turning, "camera": groups.showing}.get(name, torch.ones_like(groups.showing))
    return whole.expand(g, 2, 2, 2, *truth.shape[2:]).flatten(0, 3), seen.flatten() > 0


def looks(count: int, shows_camera: Tensor, generator: torch.Generator) -> Tensor:
    """Shape, colour, tone and texture `[count, 4]`, drawn evenly; where the camera moves, the texture mostly shows
    it."""
    kinds = [torch.randint(len(known), (count,), generator=generator) for known in (SHAPES, COLOURS, TONES, TEXTURES)]
    shown = torch.tensor([TEXTURES.index(name) for name in SHOW_THE_CAMERA])
    better = shown[torch.randint(len(shown), (count,), generator=generator)]
    often = torch.rand(count, generator=generator) < 0.85
    kinds[3] = torch.where(shows_camera & often, better, kinds[3])
    return torch.stack(kinds, dim=1)


def scenes_of(objects: Objects, cameras: Cameras, look: Tensor, generator: torch.Generator) -> Scenes:
    """Scenes of motions and looks of one length."""
    n = len(look)
    return Scenes(
        *look.unbind(1),
        position=objects.position,
        radius=objects.radius,
        angle=objects.angle,
        camera=cameras.camera,
        zoom=cameras.zoom,
        roll=cameras.roll,
        **texture_details(n, generator),
        light=1 + 0.03 * (2 * torch.rand(n, 3, generator=generator) - 1),
    )


class GroupMaker:
    """Groups of clips by seed, of a model's own frames and size. latents: whether they are wanted; without, they have
    no channels."""

    def __init__(self, model: VideoModel, latents: bool = True):
        self.model, self.latents = model, latents
        self.frames, self.size = model.defaults.frames, model.defaults.width

    @torch.no_grad()
    def make(self, count: int, seed: int) -> Groups:
        """The same seed gives the same groups."""
        generator = torch.Generator().manual_seed(seed)
        objects = random_objects(count * PATHS, self.frames, generator)
        cameras = random_cameras(count * CAMERAS, self.frames, generator)
        indices = torch.meshgrid(*map(torch.arange, (count, LOOKS, PATHS, CAMERAS)), indexing="ij")
        g, _, o, c = (index.flatten() for index in indices)
        of_object, of_camera = g * PATHS + o, g * CAMERAS + c
        moves = (
            cameras.camera.flatten(1).abs().amax(1) + cameras.zoom.log().abs().amax(1) + cameras.roll.abs().amax(1)
            > 0.02
        )
        look = looks(len(g), moves[of_camera], generator)
        tilt = (torch.rand(len(g), 1, generator=generator) - 0.5) / 2  # how a shape stands is part of its look
        scenes = scenes_of(
            Objects(objects.position[of_object], objects.radius[of_object], objects.angle[of_object] + tilt),
            Cameras(cameras.camera[of_camera], cameras.zoom[of_camera], cameras.roll[of_camera]),
            look,
            generator,
        )
        template = torch.randint(len(TEMPLATES), (len(g),), generator=generator).tolist()
        captions = [caption(scenes.words(i), template[i]) for i in range(len(g))]
        frames, latents = self._shown(scenes)
        shape = count, LOOKS, PATHS, CAMERAS
        turned = (objects.angle - objects.angle[:, :1])[..., None]
        camera = torch.cat([cameras.camera, cameras.zoom.log()[..., None], cameras.roll[..., None]], dim=-1)
        turning = torch.tensor([name in TURNS_SEEN for name in SHAPES])[look[:, 0]].float()
        showing = torch.tensor([name in SHOW_THE_CAMERA for name in TEXTURES])[look[:, 3]].float()
        held = Groups(
            frames=frames.unflatten(0, shape),
            latents=latents.unflatten(0, shape),
            text=self.model.encode_prompt(captions).unflatten(0, shape),
            path=objects.position.unflatten(0, (count, PATHS)),
            scale=objects.radius.log()[..., None].unflatten(0, (count, PATHS)),
            angle=turned.unflatten(0, (count, PATHS)),
            camera=camera.unflatten(0, (count, CAMERAS)),
            turning=turning.unflatten(0, shape),
            showing=showing.unflatten(0, shape),
            object_words=words_of_objects(objects.position, objects.radius, objects.angle).unflatten(0, (count, PATHS)),
            camera_words=words_of_cameras(cameras.camera, cameras.zoom, cameras.roll).unflatten(0, (count, CAMERAS)),
            look=look.unflatten(0, shape),
        )
        return held.map(lambda x: x.to(self.model.device))

    def _shown(self, scenes: Scenes) -> tuple[Tensor, Tensor]:
        frames, latents = [], []
        codec: Any = self.model.codec
        vae, scale = codec.vae, codec.scale
        dtype = next(vae.parameters()).dtype
        for i in range(0, len(scenes), CHUNK):
            shown = render(scenes[i : i + CHUNK].to(self.model.device), self.size)
            frames.append((small(shown, SIDE).transpose(1, 2) * 255).round().byte())
            if not self.latents:
                latents.append(shown.new_zeros(len(shown), 0, shown.shape[1], 1, 1))
                continue
            pixels = (shown.flatten(0, 1) * 2 - 1).to(dtype, memory_format=torch.channels_last)
            means = [vae.encode(part).latent_dist.mean for part in pixels.split(512)]
            latents.append((torch.cat(means) * scale).unflatten(0, shown.shape[:2]).transpose(1, 2).to(dtype))
        return torch.cat(frames), torch.cat(latents)
