"""How worlds move: objects, cameras and light, drawn at random. No named motion of `sprites.motions` is among them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..scene import _Draw, _free_curve, _limit_speed
from .bodies import LIMBS, Motion
from .paint import turned
from .scene import Camera, Light, white_light

POINTS = 14  # of the splines that motions follow: enough for the longest of 33 frames
FASTEST, FASTEST_CAMERA = 0.24, 0.16  # half image sides a frame


def uniform(draw: _Draw, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(draw.n, *shape, generator=draw.generator)


def _curve(draw: _Draw, frames: int, dims: int, low: float, high: float) -> Tensor:
    """As the sprites' own motions; over more than 16 frames up to as much longer."""
    longer = 1 + uniform(draw) * (frames / 16 - 1) if frames > 16 else torch.ones(draw.n)
    return _free_curve(draw, frames, dims, draw.between(low, high) * longer, POINTS)


def draw_motion(draw: _Draw, frames: int, lively: Tensor) -> Motion:
    """As `random_scenes` draws them; where `lively` they may squash, stretch and swing as well."""
    n = draw.n
    position = _limit_speed(_curve(draw, frames, 2, 0.5, 3.2) * 0.74, FASTEST)
    position = torch.where(draw.chance(0.08)[:, None, None], position[:, :1], position)
    growth = _curve(draw, frames, 1, 0.3, 1.6)[..., 0] * math.log(1.7)
    growth = torch.where(draw.chance(0.4)[:, None], growth - growth.mean(1, keepdim=True), torch.zeros(n, frames))
    turning = _curve(draw, frames, 1, 0.3, 1.6)[..., 0] * 2.6
    turning = torch.where(draw.chance(0.45)[:, None], turning - turning[:, :1], torch.zeros(n, frames))
    time = torch.arange(frames) / 16
    beat = draw.between(0.5, 2.5)[:, None] * time * math.tau + draw.between(0, math.tau)[:, None]
    pulse = draw.between(0.1, 0.4)[:, None] * beat.sin()
    velocity = torch.gradient(position, dim=1)[0]
    rush = 2.5 * velocity.norm(dim=-1)
    by_speed = draw.chance(0.5)[:, None]
    supple = (lively & draw.chance(0.3))[:, None]
    stretch = torch.where(supple, torch.where(by_speed, rush, pulse), torch.zeros(n, frames)).exp()
    axis = torch.where(by_speed, torch.atan2(velocity[..., 1], velocity[..., 0]), draw.between(0, math.pi)[:, None])
    pace = draw.between(0.6, 2.2)[:, None, None, None] * time[None, :, None, None] * math.tau
    swing = uniform(draw, 1, LIMBS, 2, low=0.1, high=0.9) * (pace + uniform(draw, 1, LIMBS, 2) * math.tau).sin()
    return Motion(
        position=position,
        radius=(draw.between(0.26, 0.40)[:, None] * growth.exp()).clamp(0.18, 0.5),
        angle=draw.between(-0.25, 0.25)[:, None] + turning,
        stretch=stretch.clamp(0.6, 1.6),
        axis=axis,
        swing=swing,
    )


def draw_camera(draw: _Draw, frames: int) -> Camera:
    n, moving = draw.n, draw.chance(0.45)
    pan = _limit_speed(_curve(draw, frames, 2, 0.3, 1.8) * 1.3, FASTEST_CAMERA)
    shaky = torch.randn(n, frames, 2, generator=draw.generator).cumsum(1) * draw.between(0.02, 0.05)[:, None, None]
    pan = torch.where(draw.chance(0.12)[:, None, None], pan * 0.3 + shaky, pan)
    zooming = _curve(draw, frames, 1, 0.3, 1.3)[..., 0] * 0.45
    rolling = _curve(draw, frames, 1, 0.3, 1.3)[..., 0] * 0.5
    still = torch.zeros(n, frames)
    return Camera(
        offset=torch.where(moving[:, None, None], pan - pan[:, :1], torch.zeros(n, frames, 2)),
        zoom=torch.where((moving & draw.chance(0.25))[:, None], zooming - zooming[:, :1], still).exp(),
        roll=torch.where((moving & draw.chance(0.12))[:, None], rolling - rolling[:, :1], still),
    )


def draw_light(draw: _Draw, frames: int, wide: Tensor) -> Light:
    n = draw.n
    light = white_light(n, frames)
    base = 1 + 0.03 * uniform(draw, 1, 3, low=-1, high=1)
    changing = (wide & draw.chance(0.25))[:, None, None]
    change = (
        _curve(draw, frames, 3, 0.3, 1.3) * uniform(draw, 1, 3, low=0.0, high=0.06)
        + _curve(draw, frames, 1, 0.3, 1.3) * 0.2
    )
    light.colour = base * torch.where(changing, change, torch.zeros(n, frames, 3)).exp()
    angle = draw.between(0, math.tau)[:, None] + _curve(draw, frames, 1, 0.2, 1.0)[..., 0]
    ramp = turned(angle) * uniform(draw, 1, 1, low=0.08, high=0.35)
    light.ramp = torch.where((wide & draw.chance(0.25))[:, None, None], ramp, torch.zeros(n, frames, 2))
    light.shadowed = (wide & draw.chance(0.3)).long()
    light.shadow = draw.between(0.25, 0.6)
    fall = draw.between(0, math.tau)[:, None] + _curve(draw, frames, 1, 0.2, 0.8)[..., 0]
    light.fall = turned(fall) * uniform(draw, 1, 1, low=0.06, high=0.2)
    light.blur = draw.between(0.04, 0.2)
    return light
