"""The groups of clips that a training draws from.

They are rendered, encoded and held on the training's own device, since rendering is a handful of operations on a batch,
and a few of them are renewed at a time, so that the encoder never runs out of new ones and never waits for them.
"""

from __future__ import annotations

from dataclasses import fields

import torch

from ...groups.clips import GroupMaker, Groups


class GroupStore:
    """Groups on the device, filled with `first` of them and grown to `most`, then renewed, `renew` at every EVERY-th
    step: making many at once costs hardly more than a few."""

    EVERY = 8

    def __init__(self, maker: GroupMaker, first: int, most: int, renew: int, start: int):
        self.maker, self.most, self.renewed, self.next_seed, self.steps, self.at = maker, most, renew, start, 0, 0
        self.held: Groups | None = None
        self.count = 0
        while self.count < first:
            self._add()

    def _add(self) -> None:
        new = self.maker.make(self.renewed, self.next_seed)
        self.next_seed += 1
        if self.held is None:  # room for all of them, at once
            self.held = new.map(
                lambda x: torch.empty(max(self.most, len(x)), *x.shape[1:], dtype=x.dtype, device=x.device)
            )
        there = len(self.held)
        self.at = 0 if self.at + len(new) > there else self.at
        for field in fields(Groups):
            getattr(self.held, field.name)[self.at : self.at + len(new)] = getattr(new, field.name)
        self.at += len(new)
        self.count = max(self.count, self.at)

    def draw(self, count: int, generator: torch.Generator) -> Groups:
        """That many groups, of which none occurs twice if there are as many."""
        assert self.held is not None
        self.steps += 1
        if self.steps % self.EVERY == 0:
            self._add()
        if count <= self.count:
            pick = torch.randperm(self.count, generator=generator, device=generator.device)[:count]
        else:
            pick = torch.randint(self.count, (count,), generator=generator, device=generator.device)
        return self.held.map(lambda x: x[pick])
