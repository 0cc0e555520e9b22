"""Random worlds: the training distribution of models that know the wide world, and looks kept out of it."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ..scene import _Draw
from ..vocabulary import COLOURS, SHAPES, TEXTURES, TONES
from .bodies import BODIES, CORNERS, NOTHING, Body
from .moves import draw_camera, draw_light, draw_motion, uniform
from .paint import ALL_PAINTS, WAVES, Paint, turned
from .scene import Depth, World, no_depth, white_light

UNKNOWN = -1

# How often each kind occurs outside the sprites' own look.
GROUNDS = {
    "plain": 0.12,
    "gradient": 0.22,
    "striped": 0.09,
    "checkered": 0.08,
    "dotted": 0.08,
    "cloudy": 0.09,
    "fractal": 0.14,
    "photo": 0.18,
}
SKINS = {
    "plain": 0.64,
    "gradient": 0.12,
    "striped": 0.04,
    "checkered": 0.03,
    "dotted": 0.03,
    "fractal": 0.05,
    "photo": 0.09,
}
FORMS = {**{shape: 0.075 for shape in SHAPES}, "polygon": 0.14, "blob": 0.14, "figure": 0.12}


def random_worlds(
    n: int, frames: int = 33, *, generator: torch.Generator, photos: int = 0, classic: float = 0.45
) -> World:
    """`n` worlds (CPU tensors), reproducible from the generator.

    A share `classic` has the sprites' own look, which captions name in full. Of `photos` photographs any may occur;
    with 0 there is none, and fractal noise takes their place.
    """
    draw = _Draw(n, generator)
    own = draw.chance(classic)
    far, tone, texture = _ground(draw, own, photos)
    body, colour = _body(draw, own, photos, ground=far.colours.mean(1))
    other, _ = _body(draw, torch.zeros(n, dtype=torch.bool), photos, ground=far.colours.mean(1))
    other.form = torch.where(~own & draw.chance(0.3), other.form, NOTHING)
    alone = other.form == NOTHING
    first, second = draw_motion(draw, frames, ~own), draw_motion(draw, frames, ~own)
    second = replace(second, radius=second.radius * 0.85)
    wide = torch.where(alone[:, None], 1.0, 0.85)
    first = replace(first, radius=first.radius * wide)
    shape = torch.where(body.form < len(SHAPES), body.form, UNKNOWN)
    return World(
        labels=torch.stack([shape, colour, tone, texture], dim=1),
        camera=draw_camera(draw, frames),
        far=far,
        depth=_depth(draw, ~own, photos),
        first=first,
        first_body=body,
        second=second,
        second_body=other,
        light=draw_light(draw, frames, ~own),
    )


def foreign_worlds(n: int, frames: int = 33, *, generator: torch.Generator) -> World:
    """`n` worlds in looks that are never drawn for training: saturated radial gradients, rings, chevrons and bricks
    behind objects that are plain in a colour of their own. One object each, no photographs, no words of the vocabulary
    but its shape."""
    draw = _Draw(n, generator)
    far = _details(draw, 0)
    kinds = torch.tensor([ALL_PAINTS.index(name) for name in ("radial", "rings", "chevrons", "bricks")])
    far.kind = kinds[draw.one_of(len(kinds))]
    vivid = _hues(draw, saturation=(0.6, 1.0), value=(0.45, 1.0))
    far.colours = torch.stack([vivid, _hues(draw, (0.3, 1.0), (0.3, 1.0)), _hues(draw, (0.6, 1.0), (0.3, 1.0))], dim=1)
    body, _ = _body(draw, torch.zeros(n, dtype=torch.bool), 0, ground=far.colours.mean(1))
    body.form = draw.one_of(len(SHAPES))
    body.paint.kind = torch.zeros(n, dtype=torch.long)
    unknown = torch.full((n,), UNKNOWN)
    empty, _ = _body(draw, torch.zeros(n, dtype=torch.bool), 0, ground=far.colours.mean(1))
    empty.form = torch.full((n,), NOTHING)
    return World(
        labels=torch.stack([body.form, unknown, unknown, unknown], dim=1),
        camera=draw_camera(draw, frames),
        far=far,
        depth=no_depth(n),
        first=draw_motion(draw, frames, torch.zeros(n, dtype=torch.bool)),
        first_body=body,
        second=draw_motion(draw, frames, torch.zeros(n, dtype=torch.bool)),
        second_body=empty,
        light=white_light(n, frames),
    )


def _choose(draw: _Draw, weights: dict[str, float], names: tuple[str, ...]) -> Tensor:
    """Indices into `names`, as often as their weights say."""
    chances = torch.tensor([weights.get(name, 0.0) for name in names])
    return torch.multinomial(chances, draw.n, replacement=True, generator=draw.generator)


def _hues(draw: _Draw, saturation: tuple[float, float], value: tuple[float, float]) -> Tensor:
    """Random colours `[n, 3]` by hue, saturation and value."""
    hue = draw.between(0, 6)[:, None]
    full = ((hue - torch.tensor([[3.0, 2.0, 4.0]])).abs() * torch.tensor([[1.0, -1.0, -1.0]])).add(
        torch.tensor([[-1.0, 2.0, 2.0]])
    )
    s, v = draw.between(*saturation)[:, None], draw.between(*value)[:, None]
    return v * (1 - s + s * full.clamp(0, 1))


def _colours(draw: _Draw) -> Tensor:
    """`[n, 3, 3]`: three colours that go together or not, muted or vivid, from hardly different to opposite."""
    base = torch.where(
        draw.chance(0.55)[:, None], _hues(draw, (0.0, 0.45), (0.05, 1.0)), _hues(draw, (0.45, 1.0), (0.25, 1.0))
    )
    others = [_hues(draw, (0.0, 1.0), (0.05, 1.0)) for _ in range(2)]
    contrast = uniform(draw, 1, low=0.12, high=1.0)
    return torch.stack([base, *(base + contrast * (other - base) for other in others)], dim=1)


def _details(draw: _Draw, photos: int) -> Paint:
    """Paints with everything drawn but their kind."""
    n = draw.n
    # The first two waves bend the others, whose lengths fall from a whole side to a few pixels.
    octave = torch.cat([uniform(draw, 2, low=0.0, high=1.0), uniform(draw, WAVES - 2, low=0.0, high=4.3)], dim=1)
    number, heading = 2.2 * torch.pow(2.0, octave), uniform(draw, WAVES) * math.tau
    rough = draw.between(0.5, 1.3)[:, None]
    waves = torch.stack(
        [
            number * heading.cos(),
            number * heading.sin(),
            uniform(draw, WAVES) * math.tau,
            torch.pow(2.0, -rough * octave),
        ],
        dim=-1,
    )
    tint = torch.eye(3)[None] * uniform(draw, 1, 1, low=0.5, high=1.1)
    swap = torch.stack([torch.randperm(3, generator=draw.generator) for _ in range(n)])
    grey, mixed = draw.chance(0.15)[:, None, None], draw.chance(0.5)[:, None, None]
    tint = torch.where(mixed, tint.gather(1, swap[..., None].expand(-1, -1, 3)), tint)
    tint = torch.where(grey, tint.mean(dim=2, keepdim=True).expand(-1, -1, 3), tint)
    return Paint(
        kind=torch.zeros(n, dtype=torch.long),
        colours=_colours(draw),
        period=draw.between(0.24, 0.8),
        direction=draw.between(0, math.tau),
        phase=uniform(draw, 2),
        waves=waves,
        photo=draw.one_of(max(1, photos)),
        spread=draw.between(0.8, 2.4),
        tint=tint,
    )


def _six_long_waves(draw: _Draw, waves: Tensor) -> Tensor:
    """The waves of clouds, in the sizes of the sprites' own."""
    heading, number = uniform(draw, 6) * math.tau, math.tau / uniform(draw, 6, low=0.45, high=1.2)
    return torch.cat(
        [
            torch.stack([number * heading.cos(), number * heading.sin(), waves[:, :6, 2], torch.ones(draw.n, 6)], -1),
            waves[:, 6:],
        ],
        dim=1,
    )


def _ground(draw: _Draw, own: Tensor, photos: int) -> tuple[Paint, Tensor, Tensor]:
    """Far backgrounds, with their tones and textures as labels."""
    paints = _details(draw, photos)
    texture, tone = draw.one_of(len(TEXTURES)), draw.one_of(len(TONES))
    wide = _choose(draw, GROUNDS, ALL_PAINTS)
    if not photos:
        wide = torch.where(wide == ALL_PAINTS.index("photo"), ALL_PAINTS.index("fractal"), wide)
    known = torch.tensor([ALL_PAINTS.index(name) for name in TEXTURES])
    paints.kind = torch.where(own, known[texture], wide)
    pair = torch.tensor(list(TONES.values()))[tone]
    toned = own | draw.chance(0.12)  # the known tones under unknown patterns as well
    paints.colours = torch.where(toned[:, None, None], torch.cat([pair, pair[:, :1]], dim=1), paints.colours)
    paints.period = torch.where(own, draw.between(0.36, 0.56), paints.period)
    cloudy = paints.kind == ALL_PAINTS.index("cloudy")
    paints.waves = torch.where(cloudy[:, None, None], _six_long_waves(draw, paints.waves), paints.waves)
    named = torch.full((len(ALL_PAINTS),), UNKNOWN)
    named[known] = torch.arange(len(TEXTURES))
    return paints, torch.where(toned, tone, UNKNOWN), named[paints.kind]


def _body(draw: _Draw, own: Tensor, photos: int, ground: Tensor) -> tuple[Body, Tensor]:
    """Objects that stand out from the mean colour `ground` of what is behind them, with their colours as labels."""
    n = draw.n
    skin = _details(draw, photos)
    named = draw.one_of(len(COLOURS))
    palette = torch.tensor(list(COLOURS.values()))
    kind = _choose(draw, SKINS, ALL_PAINTS)
    if not photos:
        kind = torch.where(kind == ALL_PAINTS.index("photo"), ALL_PAINTS.index("fractal"), kind)
    kind = torch.where(own, ALL_PAINTS.index("plain"), kind)
    plain, known = kind == ALL_PAINTS.index("plain"), own | draw.chance(0.6)
    first = torch.where((plain & known)[:, None], palette[named], _clear_of(skin.colours[:, 0], ground))
    near = (first - ground).norm(dim=1) < 0.35
    first = torch.where((near & ~own)[:, None], _clear_of(first, ground), first)
    skin.kind, skin.period, skin.spread = kind, 1.4 * skin.period, 0.6 * skin.spread
    skin.colours = torch.cat([first[:, None], skin.colours[:, 1:]], dim=1)
    corners = 3 + draw.one_of(CORNERS - 2)
    form = torch.where(own, draw.one_of(len(SHAPES)), _choose(draw, FORMS, BODIES))
    shaded = (~own & draw.chance(0.4))[:, None]
    body = Body(
        form=form,
        outline=_corners(draw, corners),
        bumps=torch.stack(
            [uniform(draw, 4, low=-1, high=1) * torch.tensor([0.22, 0.16, 0.10, 0.06]), uniform(draw, 4) * math.tau],
            -1,
        ),
        build=torch.stack([draw.between(0.13, 0.22), draw.between(0.07, 0.12), draw.between(0.18, 0.26)], dim=1),
        paint=skin,
        shading=torch.where(
            shaded, turned(draw.between(0, math.tau)) * uniform(draw, 1, low=0.15, high=0.5), torch.zeros(n, 2)
        ),
    )
    return body, torch.where(plain & known & ((first - palette[named]).norm(dim=1) < 1e-6), named, UNKNOWN)


def _clear_of(colour: Tensor, ground: Tensor) -> Tensor:
    """The colour, or its opposite where it is too near to the ground, pushed away from it."""
    away = colour - ground
    far = away.norm(dim=1, keepdim=True)
    opposite = torch.where(ground > 0.5, 0.1, 0.95) + 0.25 * (colour - 0.5)
    return torch.where(far < 0.4, opposite, colour).clamp(0, 1)


def _corners(draw: _Draw, count: Tensor) -> Tensor:
    """Polygons of `count` `[n]` corners as 8 points each, the last one repeated: `[n, 8, 2]`, centred on their mean."""
    i = torch.minimum(torch.arange(CORNERS)[None].expand(draw.n, -1), count[:, None] - 1)
    jitter = uniform(draw, CORNERS, low=-0.3, high=0.3).gather(1, i)
    angle = math.tau * (i + jitter) / count[:, None]
    length = uniform(draw, CORNERS, low=0.55, high=1.15).gather(1, i)
    points = turned(angle) * length[..., None]
    once = (torch.arange(CORNERS)[None] < count[:, None])[..., None]
    return points - (points * once).sum(1, keepdim=True) / count[:, None, None]


def _depth(draw: _Draw, wide: Tensor, photos: int) -> Depth:
    paints, _, _ = _ground(draw, torch.zeros(draw.n, dtype=torch.bool), photos)
    gaps = paints.waves.clone()
    heading, number = uniform(draw, 6) * math.tau, uniform(draw, 6, low=1.5, high=5.0)
    gaps[:, :6] = torch.stack(
        [number * heading.cos(), number * heading.sin(), uniform(draw, 6) * math.tau, torch.full((draw.n, 6), 0.5)],
        dim=-1,
    )
    return Depth(
        there=(wide & draw.chance(0.18)).long(),
        near=draw.between(1.3, 2.5),
        paint=paints,
        gaps=gaps,
        level=draw.between(0.2, 1.2),
    )
