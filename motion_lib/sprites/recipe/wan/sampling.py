"""Sampling in the plainest way, for looking at a model while it is trained: Euler steps along the flow."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from .design import SHIFT


def noise_levels(steps: int, shift: float = SHIFT) -> list[float]:
    """`steps + 1` levels from 1 to 0, evenly spaced and then shifted towards noise."""
    even = [1 - i / steps for i in range(steps + 1)]
    return [shift * u / (1 + (shift - 1) * u) for u in even]


@torch.no_grad()
def path(
    model,
    noise: Tensor,
    text: Tensor,
    empty: Tensor,
    given: Tensor | None = None,
    *,
    steps: int = 20,
    guidance: float = 4.0,
    shift: float = SHIFT,
    done: int = 0,
) -> Iterator[Tensor]:
    """Latents `[b, 16, f, h, w]` after every step from `noise`, or from latents with which `done` of the steps are
    done; `text` and `empty` `[b, tokens, width]`; `given`
    `[b, 20, f, h, w]`, mask and latents of a given first frame, zeros without one."""
    given = torch.zeros_like(noise[:, :1]).repeat(1, 20, 1, 1, 1) if given is None else given
    levels, latents = noise_levels(steps, shift), noise
    for level, lower in pairwise(levels[done:]):
        seen = torch.cat([latents, given], dim=1)
        at = torch.full((len(noise),), level, device=noise.device)
        velocity = model(seen, at, text).float()
        if guidance != 1:
            without = model(seen, at, empty).float()
            velocity = without + guidance * (velocity - without)
        latents = latents + (lower - level) * velocity
        yield latents


def sample(*given, **how) -> Tensor:
    """The last of `path`."""
    *_, latents = path(*given, **how)
    return latents
