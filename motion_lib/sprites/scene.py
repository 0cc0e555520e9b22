"""Scenes: what happens in a rendered clip, as tensors, and the random scenes the bundled model is trained on.

Coordinates are in half image sides: (0, 0) is the centre, x runs right and y down from -1 to 1. Angles are radians,
clockwise on the screen. What the caption does not say (path, growth, turning, camera) is drawn freely here, so that a
model trained on these clips must leave it to chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .vocabulary import COLOURS, SHAPES, TEXTURES, TONES, Words

CLOUD_WAVES = 6


@dataclass
class Scenes:
    """A batch of b scenes with f frames each.

    shape, colour, tone, texture: `[b]` indices into the vocabulary.
    position `[b, f, 2]`, radius `[b, f]`, angle `[b, f]`: the object on the screen.
    camera `[b, f, 2]`, zoom `[b, f]`, roll `[b, f]`: where the camera looks on the background.
    period `[b]`, direction `[b]`, phase `[b, 2]`, waves `[b, 6, 3]`: what the texture looks like.
    light `[b, 3]`: the colour of the light, a factor near 1.
    """

    shape: Tensor
    colour: Tensor
    tone: Tensor
    texture: Tensor
    position: Tensor
    radius: Tensor
    angle: Tensor
    camera: Tensor
    zoom: Tensor
    roll: Tensor
    period: Tensor
    direction: Tensor
    phase: Tensor
    waves: Tensor
    light: Tensor

    def __len__(self) -> int:
        return len(self.shape)

    def __getitem__(self, index) -> Scenes:
        return Scenes(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def to(self, device: torch.device | str) -> Scenes:
        """What is drawn goes to the device; the four labels stay on the CPU."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Scenes(**{k: v.to(device) if v.is_floating_point() else v for k, v in values.items()})

    @property
    def frames(self) -> int:
        return self.position.shape[1]

    def words(self, i: int) -> Words:
        return Words(
            shape=SHAPES[int(self.shape[i])],
            colour=list(COLOURS)[int(self.colour[i])],
            tone=list(TONES)[int(self.tone[i])],
            texture=TEXTURES[int(self.texture[i])],
        )


def concatenate(parts: list[Scenes]) -> Scenes:
    return Scenes(**{f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Scenes)})


def random_scenes(n: int, frames: int = 16, *, generator: torch.Generator) -> Scenes:
    """`n` scenes of the training distribution (CPU tensors), reproducible from the generator."""
    draw = _Draw(n, generator)

    still, length = draw.chance(0.08), draw.between(0.5, 3.2)
    position = _limit_speed(_free_curve(draw, frames, 2, length) * 0.74, 0.24)
    position = torch.where(still[:, None, None], position[:, :1], position)

    size = draw.between(0.26, 0.40)
    growth = _free_curve(draw, frames, 1, draw.between(0.3, 1.6))[..., 0] * math.log(1.7)
    growth = torch.where(draw.chance(0.4)[:, None], growth - growth.mean(1, keepdim=True), torch.zeros(n, frames))
    radius = (size[:, None] * growth.exp()).clamp(0.18, 0.5)

    tilt = draw.between(-0.25, 0.25)
    turning = _free_curve(draw, frames, 1, draw.between(0.3, 1.6))[..., 0] * 2.6
    angle = tilt[:, None] + torch.where(draw.chance(0.45)[:, None], turning - turning[:, :1], torch.zeros(n, frames))

    moving = draw.chance(0.45)
    pan = _limit_speed(_free_curve(draw, frames, 2, draw.between(0.3, 1.8)) * 1.3, 0.16)
    shaky = torch.randn(n, frames, 2, generator=generator).cumsum(1) * draw.between(0.02, 0.05)[:, None, None]
    pan = torch.where(draw.chance(0.12)[:, None, None], pan * 0.3 + shaky, pan)
    camera = torch.where(moving[:, None, None], pan - pan[:, :1], torch.zeros(n, frames, 2))
    zooming = _free_curve(draw, frames, 1, draw.between(0.3, 1.3))[..., 0] * 0.45
    zoom = torch.where((moving & draw.chance(0.25))[:, None], zooming - zooming[:, :1], torch.zeros(n, frames)).exp()
    rolling = _free_curve(draw, frames, 1, draw.between(0.3, 1.3))[..., 0] * 0.5
    roll = torch.where((moving & draw.chance(0.12))[:, None], rolling - rolling[:, :1], torch.zeros(n, frames))

    return Scenes(
        shape=draw.one_of(len(SHAPES)),
        colour=draw.one_of(len(COLOURS)),
        tone=draw.one_of(len(TONES)),
        texture=draw.one_of(len(TEXTURES)),
        position=position,
        radius=radius,
        angle=angle,
        camera=camera,
        zoom=zoom,
        roll=roll,
        **texture_details(n, generator),
        light=1 + 0.03 * (2 * torch.rand(n, 3, generator=generator) - 1),
    )


def texture_details(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Random sizes, directions and phases of `n` textures, as the fields of `Scenes` that hold them."""
    draw = _Draw(n, generator)
    wave_direction = torch.rand(n, CLOUD_WAVES, generator=generator) * math.tau
    wave_number = math.tau / (0.45 + 0.75 * torch.rand(n, CLOUD_WAVES, generator=generator))
    waves = torch.stack(
        [
            wave_number * wave_direction.cos(),
            wave_number * wave_direction.sin(),
            torch.rand(n, CLOUD_WAVES, generator=generator) * math.tau,
        ],
        dim=-1,
    )
    return {
        "period": draw.between(0.36, 0.56),
        "direction": draw.between(0, math.pi),
        "phase": torch.rand(n, 2, generator=generator),
        "waves": waves,
    }


class _Draw:
    """Random vectors of one length from one generator."""

    def __init__(self, n: int, generator: torch.Generator):
        self.n, self.generator = n, generator

    def between(self, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(self.n, generator=self.generator)

    def chance(self, p: float) -> Tensor:
        return torch.rand(self.n, generator=self.generator) < p

    def one_of(self, count: int) -> Tensor:
        return torch.randint(count, (self.n,), generator=self.generator)


def _free_curve(draw: _Draw, frames: int, dims: int, length: Tensor, count: int = 8) -> Tensor:
    """Curves `[n, f, dims]` as a hand would draw them: a stretch of a Catmull-Rom spline through `count` random
    points in [-1, 1], `length` segments long, run through with a speed that rises or falls."""
    n, generator = draw.n, draw.generator
    points = 2 * torch.rand(n, count, dims, generator=generator) - 1
    time = torch.linspace(0, 1, frames)[None]
    ease = draw.between(-0.5, 0.5)[:, None]
    u = draw.between(0, 1)[:, None] + length[:, None] * (time + ease * time * (1 - time))
    u = u.clamp(0, count - 3.001)
    k = u.long()
    s = (u - k)[..., None]
    p0, p1, p2, p3 = (points.gather(1, (k + i)[..., None].expand(-1, -1, dims)) for i in range(4))
    return p1 + 0.5 * s * (p2 - p0 + s * (2 * p0 - 5 * p1 + 4 * p2 - p3 + s * (3 * (p1 - p2) + p3 - p0)))


def _limit_speed(path: Tensor, fastest: float) -> Tensor:
    """Shrink paths `[n, f, 2]` about their mean until no step is longer than `fastest`."""
    step = path.diff(dim=1).norm(dim=-1).amax(dim=1).clamp(min=1e-6)
    centre = path.mean(dim=1, keepdim=True)
    return centre + (path - centre) * (fastest / step).clamp(max=1)[:, None, None]
