"""A clip of the wide world, in parts: camera, depth, two objects with motions of their own, light.

Coordinates are those of `Scenes`: half image sides, x right and y down from -1 to 1, angles clockwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..scene import Scenes
from ..vocabulary import COLOURS, SHAPES, TEXTURES, TONES, Words
from .batch import Batch
from .bodies import CORNERS, LIMBS, NOTHING, Body, Motion
from .paint import PAINTS, WAVES, Paint


@dataclass
class Camera(Batch):
    """Where the camera looks on the far background: offset `[b, f, 2]`, zoom and roll `[b, f]`."""

    offset: Tensor
    zoom: Tensor
    roll: Tensor


@dataclass
class Depth(Batch):
    """A nearer layer with gaps, behind the objects: there `[b]`, 1 where there is one; near `[b]`, how many times
    faster than the far background it passes; paint; gaps `[b, 20, 4]`, waves whose sum is above `level` `[b]` there."""

    there: Tensor
    near: Tensor
    paint: Paint
    gaps: Tensor
    level: Tensor


@dataclass
class Light(Batch):
    """colour `[b, f, 3]`: a factor on everything. ramp `[b, f, 2]`: how much brighter it is per half image side towards
    a side. shadowed `[b]`: 1 where objects throw shadows; shadow `[b]`: how dark they are; fall `[b, f, 2]`: where they
    fall, in half image sides from the object; blur `[b]`: the width of their edge."""

    colour: Tensor
    ramp: Tensor
    shadowed: Tensor
    shadow: Tensor
    fall: Tensor
    blur: Tensor


@dataclass
class World(Batch):
    """b clips of f frames. labels `[b, 4]`: shape, colour, tone, texture as indices into the vocabulary, or -1 where it
    has no word. The second object is drawn behind the first."""

    labels: Tensor
    camera: Camera
    far: Paint
    depth: Depth
    first: Motion
    first_body: Body
    second: Motion
    second_body: Body
    light: Light

    @property
    def frames(self) -> int:
        return self.first.position.shape[1]

    def words(self, i: int) -> Words:
        """What the vocabulary can say of clip `i`: of its first object and its background."""
        lists = (SHAPES, tuple(COLOURS), tuple(TONES), TEXTURES)
        shape, colour, tone, texture = (
            None if label < 0 else words[label] for label, words in zip(self.labels[i].tolist(), lists, strict=True)
        )
        return Words(shape, colour, tone, texture)


def no_paint(b: int) -> Paint:
    """Plain black, with every detail that is not seen set to something harmless."""
    return Paint(
        kind=torch.zeros(b, dtype=torch.long),
        colours=torch.zeros(b, 3, 3),
        period=torch.ones(b),
        direction=torch.zeros(b),
        phase=torch.zeros(b, 2),
        waves=torch.zeros(b, WAVES, 4),
        photo=torch.zeros(b, dtype=torch.long),
        spread=torch.ones(b),
        tint=torch.eye(3).repeat(b, 1, 1),
    )


def no_body(b: int) -> Body:
    return Body(
        form=torch.full((b,), NOTHING),
        outline=torch.zeros(b, CORNERS, 2),
        bumps=torch.zeros(b, 4, 2),
        build=torch.full((b, 3), 0.1),
        paint=no_paint(b),
        shading=torch.zeros(b, 2),
    )


def no_motion(b: int, frames: int) -> Motion:
    return Motion(
        position=torch.zeros(b, frames, 2),
        radius=torch.full((b, frames), 0.3),
        angle=torch.zeros(b, frames),
        stretch=torch.ones(b, frames),
        axis=torch.zeros(b, frames),
        swing=torch.zeros(b, frames, LIMBS, 2),
    )


def no_depth(b: int) -> Depth:
    return Depth(
        torch.zeros(b, dtype=torch.long),
        near=torch.ones(b),
        paint=no_paint(b),
        gaps=torch.zeros(b, WAVES, 4),
        level=torch.zeros(b),
    )


def white_light(b: int, frames: int) -> Light:
    return Light(
        colour=torch.ones(b, frames, 3),
        ramp=torch.zeros(b, frames, 2),
        shadowed=torch.zeros(b, dtype=torch.long),
        shadow=torch.zeros(b),
        fall=torch.zeros(b, frames, 2),
        blur=torch.full((b,), 0.1),
    )


def from_scenes(scenes: Scenes) -> World:
    """The same clips as worlds: what `render` shows of `scenes`, `render_world` shows too."""
    b, f = scenes.position.shape[:2]
    tones = torch.tensor(list(TONES.values()))[scenes.tone]
    far, body = no_paint(b), no_body(b)
    far.kind = torch.tensor([PAINTS.index(name) for name in TEXTURES])[scenes.texture]
    far.colours = torch.cat([tones, tones[:, :1]], dim=1)
    far.period, far.direction, far.phase = scenes.period, scenes.direction, scenes.phase
    far.waves = torch.zeros(b, WAVES, 4)
    far.waves[:, : scenes.waves.shape[1], :3] = scenes.waves
    body.form = scenes.shape.clone()
    body.paint.colours = torch.tensor(list(COLOURS.values()))[scenes.colour][:, None].expand(-1, 3, -1).clone()
    motion, light = no_motion(b, f), white_light(b, f)
    motion.position, motion.radius, motion.angle = scenes.position, scenes.radius, scenes.angle
    light.colour = scenes.light[:, None].expand(-1, f, -1).clone()
    return World(
        labels=torch.stack([scenes.shape, scenes.colour, scenes.tone, scenes.texture], dim=1),
        camera=Camera(offset=scenes.camera, zoom=scenes.zoom, roll=scenes.roll),
        far=far,
        depth=no_depth(b),
        first=motion,
        first_body=body,
        second=no_motion(b, f),
        second_body=no_body(b),
        light=light,
    )
