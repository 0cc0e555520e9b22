"""Rendering worlds to frames, on any device, without a loop over clips."""

from __future__ import annotations

import torch
from torch import Tensor

from ..render import _turn
from .bodies import NOTHING, Body, Motion, cover, local_points
from .paint import _wave, paint
from .scene import Light, World


def render_world(world: World, size: int = 128, photos: Tensor | None = None) -> Tensor:
    """Frames `[b, f, 3, size, size]` in [0, 1] on the device of the world.

    `photos` `[n, 3, s, s]` (see `load_photos`) is needed where something is painted with a photograph.
    """
    device = world.first.position.device
    axis = (torch.arange(size, device=device) + 0.5) * (2 / size) - 1
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)[None, None]
    frames = _ground(world, grid, size, photos)
    for motion, body in ((world.second, world.second_body), (world.first, world.first_body)):
        frames = _with_object(frames, world, motion, body, grid, size, photos)
    light = world.light
    ramp = 1 + (grid * light.ramp[:, :, None, None]).sum(-1)
    return (frames * light.colour[..., None, None] * ramp[:, :, None]).clamp(0, 1)


def _ground(world: World, grid: Tensor, size: int, photos: Tensor | None) -> Tensor:
    camera = world.camera
    zoom = camera.zoom[..., None, None]
    pixel = 2 / (size * zoom)
    turned = _turn(grid, camera.roll) / zoom[..., None]
    far = paint(world.far, turned + camera.offset[:, :, None, None], pixel, photos)
    clips = world.depth.there.nonzero()[:, 0]
    if len(clips):
        mine, depth = clips.to(far.device, non_blocking=True), world.depth[clips]
        at = turned[mine] + (depth.near[:, None, None] * camera.offset[mine])[:, :, None, None]
        height = sum(_wave(at, wave) for wave in depth.gaps.unbind(1)[:6]) - depth.level[:, None, None, None]
        # The sum of these waves rises by about 3 per half image side.
        shown = (0.5 + height / (6 * pixel[mine])).clamp(0, 1)[:, :, None]
        near = paint(depth.paint, at, pixel[mine], photos)
        far[mine] = far[mine] + shown * (near - far[mine])
    return far


def _with_object(
    frames: Tensor, world: World, motion: Motion, body: Body, grid: Tensor, size: int, photos: Tensor | None
) -> Tensor:
    """The frames with one object and its shadow on them."""
    clips = (body.form != NOTHING).nonzero()[:, 0]
    if len(clips) == 0:
        return frames
    mine = clips.to(frames.device, non_blocking=True)
    motion, body = motion[clips], body[clips]
    below = _with_shadow(frames[mine], world.light[clips], motion, body, grid)
    local = local_points(motion, grid)
    pixel = (2 / size / motion.radius)[..., None, None]
    look = paint(body.paint, local, pixel, photos)
    shading = (local * body.shading[:, None, None, None]).sum(-1).clamp(-0.6, 0.6)
    mask = cover(motion, body, local, 2 / size)[:, :, None]
    frames[mine] = below + mask * (look * (1 + shading)[:, :, None] - below)
    return frames


def _with_shadow(frames: Tensor, light: Light, motion: Motion, body: Body, grid: Tensor) -> Tensor:
    clips = light.shadowed.nonzero()[:, 0]
    if len(clips):
        mine, light, motion = clips.to(frames.device, non_blocking=True), light[clips], motion[clips]
        at = local_points(motion, grid - light.fall[:, :, None, None])
        shade = cover(motion, body[clips], at, light.blur[:, None, None, None])
        frames[mine] = frames[mine] * (1 - light.shadow[:, None, None, None, None] * shade[:, :, None])
    return frames
