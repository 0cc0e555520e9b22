"""Rendered clips for training, drawn and shown by seed."""

from __future__ import annotations

import torch
from torch import Tensor

from ...world import World, load_photos, random_worlds, render_world
from ...world.captions import plain_captions, world_captions
from .design import SIZE


class Clips:
    """Frames of random worlds on a device; the same seed gives the same clips."""

    def __init__(self, device: str, photographs: bool = True, size: int = SIZE):
        self.device, self.size = device, size
        self.photos = load_photos().to(device) if photographs else None

    def draw(self, count: int, frames: int, seed: int, classic: float) -> tuple[World, list[str]]:
        """Worlds and their captions, of which every fourth leaves all to the picture that it comes with."""
        generator = torch.Generator().manual_seed(seed)
        known = 0 if self.photos is None else len(self.photos)
        world = random_worlds(count, frames, generator=generator, photos=known, classic=classic)
        captions = world_captions(world, generator)
        captions[::4] = plain_captions(world, generator)[::4]
        return world, captions

    def show(self, world: World) -> Tensor:
        """Frames `[b, 3, f, h, w]` in [-1, 1]."""
        frames = render_world(world.to(self.device), self.size, self.photos)
        return frames.transpose(1, 2) * 2 - 1


class ClipPool:
    """Clips of `frames` frames held on the device as bytes and renewed, `renew` of them at every eighth draw: rendering
    many at once costs hardly more than rendering a few."""

    EVERY = 8

    def __init__(self, clips: Clips, count: int, renew: int, frames: int, classic: float, start: int):
        self.clips, self.renewed, self.frames, self.classic = clips, renew, frames, classic
        self.next_seed, self.drawn, self.at = start, 0, 0
        self.held = torch.cat([self._make() for _ in range(max(1, count // renew))])

    def _make(self) -> Tensor:
        world, _ = self.clips.draw(self.renewed, self.frames, self.next_seed, self.classic)
        self.next_seed += 1
        return ((self.clips.show(world) + 1) * 127.5).round().byte()

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` clips `[count, 3, f, h, w]` in [-1, 1]."""
        self.drawn += 1
        if self.drawn % self.EVERY == 0:
            self.held[self.at : self.at + self.renewed] = self._make()
            self.at = (self.at + self.renewed) % len(self.held)
        pick = torch.randint(len(self.held), (count,), generator=generator, device=self.held.device)
        return (self.held[pick] / 127.5 - 1).to(memory_format=torch.channels_last_3d)


def unseen(kind: str, count: int, frames: int, seed: int, device: str, photographs: bool = True) -> Tensor:
    """Clips `[count, 3, f, h, w]` in [-1, 1] that training never shows: new draws of the sprites' own look (`classic`)
    or of the `wide` world, its photographs `unseen` ones, `foreign` looks, or the `fastest` eighth of eight times as
    many draws."""
    from ...world import foreign_worlds
    from ...world.photos import UNSEEN_PHOTOS

    generator, photos = torch.Generator().manual_seed(seed), None
    if kind == "foreign":
        world = foreign_worlds(count, frames, generator=generator)
    elif kind == "fastest":
        world = random_worlds(8 * count, frames, generator=generator, classic=0.5)
        step = world.first.position.diff(dim=1).norm(dim=-1).mean(dim=1)
        world = world[step.topk(count).indices]
    elif kind == "unseen" and photographs:
        photos = load_photos(UNSEEN_PHOTOS).to(device)
        world = random_worlds(count, frames, generator=generator, photos=len(photos), classic=0.0)
    else:
        world = random_worlds(count, frames, generator=generator, classic=1.0 if kind == "classic" else 0.0)
    return render_world(world.to(device), SIZE, photos).transpose(1, 2) * 2 - 1


KINDS = ("classic", "wide", "unseen", "foreign", "fastest")
