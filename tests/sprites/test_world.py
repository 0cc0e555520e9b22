"""The wide world: what it shows is what its parts say, and old scenes look as they always did."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import pytest
import torch
from torch import Tensor

from motion_lib.errors import MotionError
from motion_lib.sprites import SHAPES, parse_caption, random_scenes, render
from motion_lib.sprites.world import (
    BODIES,
    FOREIGN_PAINTS,
    PAINTS,
    World,
    foreign_worlds,
    from_scenes,
    load_photos,
    photos,
    random_worlds,
    render_world,
)
from motion_lib.sprites.world.batch import Batch, concatenate
from motion_lib.sprites.world.bodies import NOTHING
from motion_lib.sprites.world.captions import world_captions
from motion_lib.sprites.world.paint import ALL_PAINTS, paint

PHOTOS = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(5))


def draw(n: int, seed: int, frames: int = 5, classic: float = 0.3) -> World:
    return random_worlds(n, frames, generator=torch.Generator().manual_seed(seed), photos=len(PHOTOS), classic=classic)


@lru_cache(maxsize=1)
def many() -> World:
    return draw(600, 0)


def leaves(record: Batch, name: str = "") -> list[tuple[str, Tensor]]:
    found = []
    for key, value in record._items():
        found += leaves(value, f"{name}.{key}") if isinstance(value, Batch) else [(f"{name}.{key}", value)]
    return found


def still(**changes) -> World:
    """One clip of two frames: a red circle in the middle of plain grey, but for the changes."""
    scenes = random_scenes(1, 2, generator=torch.Generator().manual_seed(0))
    labels = {name: torch.zeros(1, dtype=torch.long) for name in ("shape", "colour", "tone", "texture")}
    zeros = {name: torch.zeros_like(getattr(scenes, name)) for name in ("position", "angle", "camera", "roll")}
    ones = {name: torch.ones_like(getattr(scenes, name)) for name in ("zoom", "light")}
    scenes = replace(scenes, **labels, **zeros, **ones, radius=torch.full((1, 2), 0.4))
    return replace(from_scenes(scenes), **changes)


@pytest.mark.parametrize(
    ("seed", "sums", "shapes"),
    [
        (0, [-13.063, -3.514, 103.421, 19.813, 11.903], [3, 6, 5, 2]),
        (7, [0.176, -26.561, 73.667, -14.824, 11.992], [1, 5, 5, 6]),
    ],
)
def test_old_scenes_come_from_their_seeds_as_before(seed: int, sums: list[float], shapes: list[int]) -> None:
    """Written down before the wide world was added."""
    scenes = random_scenes(4, 16, generator=torch.Generator().manual_seed(seed))
    parts = (scenes.position, scenes.angle, scenes.waves, scenes.camera, scenes.light)
    assert [float(part.sum()) for part in parts] == pytest.approx(sums, abs=2e-3)
    assert scenes.shape.tolist() == shapes


def test_old_scenes_look_the_same_as_worlds() -> None:
    scenes = random_scenes(12, 3, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(render_world(from_scenes(scenes), 48), render(scenes, 48))
    world = from_scenes(scenes)
    assert [world.words(i) for i in range(12)] == [scenes.words(i) for i in range(12)]


def test_reproducible_from_the_generator_alone() -> None:
    torch.manual_seed(1)
    a = draw(6, 7)
    torch.manual_seed(2)
    for (name, x), (_, y) in zip(leaves(a), leaves(draw(6, 7)), strict=True):
        assert torch.equal(x, y), name


def test_frames_are_pictures_and_clips_do_not_depend_on_their_neighbours() -> None:
    world = draw(24, 1, frames=3)
    frames = render_world(world, 24, PHOTOS)
    assert frames.shape == (24, 3, 3, 24, 24) and frames.isfinite().all() and 0 <= frames.min() and frames.max() <= 1
    for i in (0, 7, 23):
        torch.testing.assert_close(render_world(world[i : i + 1], 24, PHOTOS)[0], frames[i])
    both = concatenate([world[torch.arange(10)], world[10:]])
    torch.testing.assert_close(render_world(both, 24, PHOTOS), frames)


def test_everything_occurs_and_nothing_foreign() -> None:
    world = many()
    assert set(world.far.kind.tolist()) == set(range(len(PAINTS)))
    assert set(world.first_body.form.tolist()) == set(range(len(BODIES)))
    assert 0.05 < (world.second_body.form != NOTHING).float().mean() < 0.4
    assert 0.03 < world.depth.there.float().mean() < 0.3 and 0.05 < world.light.shadowed.float().mean() < 0.4
    own = (world.labels >= 0).all(1).float().mean()
    assert 0.25 < own < 0.5


def test_without_photographs_none_are_drawn() -> None:
    world = random_worlds(300, 2, generator=torch.Generator().manual_seed(0))
    photo = PAINTS.index("photo")
    for record in (world.far, world.depth.paint, world.first_body.paint, world.second_body.paint):
        assert not (record.kind == photo).any()
    render_world(world[:4], 16)


def test_foreign_looks_are_not_in_training() -> None:
    foreign = foreign_worlds(200, 3, generator=torch.Generator().manual_seed(0))
    names = {ALL_PAINTS[kind] for kind in foreign.far.kind.tolist()}
    assert names == set(FOREIGN_PAINTS) and not names & set(PAINTS)
    assert (foreign.second_body.form == NOTHING).all() and (foreign.first_body.form < len(SHAPES)).all()
    frames = render_world(foreign[:12], 32)
    assert frames.isfinite().all() and (frames.std(dim=(2, 3, 4)) > 0.02).all()


def test_objects_stand_out() -> None:
    """From the mean colour of what is behind them, in clips that have no words for it."""
    world = many()
    wide = (world.labels < 0).any(1)
    away = world.first_body.paint.colours[:, 0] - world.far.colours.mean(1)
    assert (away[wide].norm(dim=1) > 0.25).float().mean() > 0.95


def test_motion_is_the_sprites_own_and_lasts_longer() -> None:
    world = draw(300, 3, frames=33)
    assert world.frames == 33
    for motion in (world.first, world.second):
        assert motion.position.abs().max() < 1 and motion.position.diff(dim=1).norm(dim=-1).max() < 0.2401
        assert motion.stretch.min() >= 0.6 and motion.stretch.max() <= 1.6
    assert (
        torch.corrcoef(torch.stack([world.first.position[:, 0, 0], world.second.position[:, 0, 0]]))[0, 1].abs() < 0.15
    )
    turns = world.first.position.diff(dim=1).diff(dim=1).sign().diff(dim=1).ne(0).sum(dim=(1, 2)).float()
    short = draw(300, 3, frames=17).first.position.diff(dim=1).diff(dim=1).sign().diff(dim=1).ne(0).sum(dim=(1, 2))
    assert turns.mean() > 1.2 * short.float().mean()


def centre(frames: Tensor) -> Tensor:
    """Where a lone object on a plain background is, `[f, 2]`, by difference from the corner's colour."""
    mask = (frames - frames[:, :, :1, :1]).abs().amax(1)
    axis = (torch.arange(mask.shape[1]) + 0.5) * 2 / mask.shape[1] - 1
    total = mask.sum((1, 2))
    return torch.stack([(mask.sum(1) * axis).sum(1) / total, (mask.sum(2) * axis).sum(1) / total], dim=1)


def test_stretch_keeps_the_area_and_the_place() -> None:
    world = still()
    flat = replace(world, first=replace(world.first, stretch=torch.tensor([[1.0, 1.5]]), axis=torch.zeros(1, 2)))
    frames = render_world(flat, 128)[0]
    mask = (frames - frames[:, :, :1, :1]).abs().amax(1) > 0.2
    areas = mask.float().mean((1, 2))
    assert areas[1] == pytest.approx(float(areas[0]), rel=0.02)
    wide, high = (int(mask[1].any(dim).sum()) for dim in (0, 1))
    assert wide / high == pytest.approx(1.5**2, rel=0.06)
    assert centre(frames).abs().max() < 0.01


@pytest.mark.parametrize("corners", [3, 5, 8])
def test_polygons_have_the_area_of_their_corners(corners: int) -> None:
    angle = torch.arange(8).clamp(max=corners - 1) / corners * 2 * torch.pi
    outline = torch.stack([angle.cos(), angle.sin()], dim=-1)[None]
    world = still()
    body = replace(world.first_body, form=torch.tensor([BODIES.index("polygon")]), outline=outline)
    frames = render_world(replace(world, first_body=body), 256)[0]
    share = ((frames[0] - frames[0, :, :1, :1]).abs().amax(0) > 0.25).float().mean()
    area = 0.5 * corners * torch.tensor(2 * torch.pi / corners).sin() * 0.4**2
    assert float(share) * 4 == pytest.approx(float(area), rel=0.03)


def test_limbs_swing() -> None:
    world = still()
    body = replace(
        world.first_body, form=torch.tensor([BODIES.index("figure")]), build=torch.tensor([[0.18, 0.1, 0.22]])
    )
    hang, raise_ = torch.zeros(4, 2), torch.zeros(4, 2)
    raise_[1, 0] = -torch.pi / 2  # an arm to the right
    world = replace(world, first_body=body, first=replace(world.first, swing=torch.stack([hang, raise_])[None]))
    frames = render_world(world, 128)[0]
    mask = (frames - frames[:, :, :1, :1]).abs().amax(1) > 0.2
    beside = mask[:, 50:66, 76:84].float().mean((1, 2))  # beside the trunk
    assert beside[0] == 0 and beside[1] > 0.1


def test_two_layers_of_depth_move_apart() -> None:
    """What is near passes as many times faster as it says."""
    world = draw(200, 11, frames=2, classic=0.0)
    clip = world[world.depth.there.nonzero()[:1, 0]]
    plain = torch.zeros_like(clip.far.kind)
    clip.first_body.form[:] = NOTHING
    clip.second_body.form[:] = NOTHING
    clip.far.kind, clip.depth.paint.kind = plain, plain.clone()
    clip.far.colours, clip.depth.paint.colours = torch.zeros(1, 3, 3), torch.ones(1, 3, 3)
    clip.depth.level, clip.depth.near = torch.zeros(1), torch.full((1,), 2.0)
    clip.camera.offset = torch.tensor([[[0.0, 0.0], [0.125, 0.0]]])
    clip.camera.zoom, clip.camera.roll = torch.ones(1, 2), torch.zeros(1, 2)
    clip.light.ramp, clip.light.colour = torch.zeros(1, 2, 2), torch.ones(1, 2, 3)
    before, after = render_world(clip, 64)[0]
    torch.testing.assert_close(after[:, :, :56], before[:, :, 8:], rtol=0, atol=1e-4)


def test_shadows_fall_where_they_should() -> None:
    world = still()
    fall = torch.tensor([[[0.0, 0.0], [0.5, 0.0]]])
    light = replace(world.light, shadowed=torch.ones(1, dtype=torch.long), shadow=torch.full((1,), 0.5), fall=fall)
    frames = render_world(replace(world, light=light, first=replace(world.first, radius=torch.full((1, 2), 0.3))), 64)[
        0
    ]
    grey = frames[0, 0, 0, 0]
    assert frames[0, 0, 32, 48] == grey and frames[1, 0, 32, 48] == pytest.approx(float(grey) / 2, abs=0.02)


def test_the_same_motion_in_two_looks() -> None:
    a, b = still(), still()
    path = torch.tensor([[[0.3, -0.2], [-0.4, 0.1]]])
    a = replace(a, first=replace(a.first, position=path))
    b = replace(a, far=replace(a.far, colours=torch.full((1, 3, 3), 0.9)), first_body=b.first_body)
    for world in (a, b):
        torch.testing.assert_close(centre(render_world(world, 64)[0]), path[0], rtol=0, atol=0.01)


def test_captions_say_only_what_is_there() -> None:
    world = many()
    for i, text in enumerate(world_captions(world, torch.Generator().manual_seed(0))):
        found, known = parse_caption(text), world.words(i)
        for kind in ("shape", "colour", "tone", "texture"):
            assert getattr(found, kind) in (None, getattr(known, kind)), text
        assert "None" not in text and ("background" in text)
        assert ("another" in text) == (int(world.second_body.form[i]) != NOTHING)


def test_captions_of_the_own_look_are_complete() -> None:
    world = random_worlds(100, 2, generator=torch.Generator().manual_seed(0), classic=1.0)
    captions = world_captions(world, torch.Generator().manual_seed(0), forget=0)
    assert [parse_caption(text) for text in captions] == [world.words(i) for i in range(100)]


@pytest.mark.parametrize("name", ALL_PAINTS)
def test_paints_have_no_seams(name: str) -> None:
    """From one point to one a thousandth away nothing jumps but where a pattern changes, which is rare."""
    paints = many().far[torch.arange(20)]
    paints.kind = torch.full((20,), ALL_PAINTS.index(name))
    at = 6 * torch.rand(20, 1, 40, 40, 2, generator=torch.Generator().manual_seed(0)) - 3
    pixel = torch.full((20, 1, 1, 1), 2 / 128)
    step = paint(paints, at + 1e-3, pixel, PHOTOS) - paint(paints, at, pixel, PHOTOS)
    assert (step.abs().amax(2) > 0.2).float().mean() < 0.01


def test_photographs_that_are_missing(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(photos, "_folder", lambda: tmp_path)
    with pytest.raises(MotionError, match="install a current scikit-image"):
        load_photos()
