"""Deterministic sampling with classifier-free guidance, motion patches and guides, by one of several solvers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..errors import MotionError
from ..method.patch import MotionPatch
from .conditioning import joined
from .denoiser import Denoiser
from .process import Process, Step
from .solvers import solver

Guide = Callable[[Tensor, float], Tensor]
"""`(clean, progress) → clean`: what holds a video to something while it is sampled. It is given what the model takes
for the clean latents, `[b, c, f, h, w]`, and returns what the step goes on with; the same tensor where it changes
nothing."""

Guidance = float | Callable[[float], float]
"""The strength of classifier-free guidance, or a function that gives it at every progress from 0 to 1."""


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    noise: Tensor,
    conditioning: Any,
    *,
    unconditional: Any = None,
    guidance: Guidance = 1.0,
    between: tuple[Any, float] | None = None,
    steps: int = 50,
    begin: float = 0.0,
    sampler: str | None = None,
    patches: Sequence[MotionPatch] = (),
    guide: Guide | None = None,
    on_step: Callable[[Step], object] | None = None,
) -> Tensor:
    """Latents `[b, c, f, h, w]` from start noise of that shape, without drawing any more of it.

    conditioning, unconditional: what the denoiser takes, such as text embeddings `[b, tokens, width]`; guidance 1 needs
    no unconditional one. between: a conditioning on the way from the unconditional one to the whole, and the strength
    of guidance towards it; `guidance` leads on from there. With the picture alone between nothing and picture and
    words, this is InstructPix2Pix's (Brooks et al. 2023, arXiv 2211.09800, eq. 3). begin: the progress from 0 to 1 at
    which the run begins, for latents that hold as much noise as its first time says (see `Process.noisy`). sampler: one
    of SOLVERS, without one the process's usual. Patches act on all of them (as in Motion Inversion), each in its own
    part of the run. on_step is called after every step.
    Raises MotionError for guidance without an unconditional conditioning, or a motion embedding made for another
    backbone, and an unknown sampler.
    """
    for patch in patches:
        patch.embedding.check_fits(denoiser.backbone)
    guided = callable(guidance) or guidance != 1.0 or between is not None
    if guided and unconditional is None:
        strength = "a function" if callable(guidance) else guidance
        raise MotionError(f"guidance is {strength}, which needs unconditional text embeddings: give them, or use 1.")
    process, frames, size = denoiser.process, noise.shape[2], (noise.shape[3], noise.shape[4])
    prepared = [(patch, patch.prepare(frames, size, noise.device, noise.dtype)) for patch in patches]
    way = [unconditional, *([between[0]] if between else []), conditioning]
    if guided:
        conditioning = joined(way)
    x, move = noise, solver(sampler or process.sampler, process)
    times = remaining(process, steps, begin)
    for i, (time, below) in enumerate(zip(times, [*times[1:], process.clean_end], strict=True)):
        progress = process.progress(time)
        acting = (patch.at(ready, progress) for patch, ready in prepared)
        active = [patch for patch in acting if patch is not None]
        batch = torch.cat([x] * len(way)) if guided else x
        prediction = denoiser(batch, torch.full((len(batch),), time, device=x.device), conditioning, active)
        if guided:
            last = guidance(progress) if callable(guidance) else guidance
            prediction = _led(prediction.chunk(len(way)), [*([between[1]] if between else []), last])
        clean, ends_in = process.clean_and_noise(x, prediction, time)
        if guide is not None and (held := guide(clean, progress)) is not clean:
            clean, ends_in = held, process.noise(x, held, time)
        x = move(x, clean, ends_in, time, below, i == len(times) - 1)
        if on_step is not None:
            on_step(Step(i, len(times), time, 1 - progress, x, clean))
    return x


def remaining(process: Process, steps: int, begin: float) -> list[Any]:
    """The times of a run of so many steps from this progress on, the last one at least. Raises MotionError for a
    progress that is not from 0 to below 1."""
    if not 0 <= begin < 1:
        raise MotionError(f"begin is {begin:g}, but it must be from 0, where there is nothing but noise, to below 1.")
    times = process.timesteps(steps)
    return [time for time in times if process.progress(time) >= begin - 1e-6] or times[-1:]


def _led(predictions: Sequence[Tensor], strengths: Sequence[float]) -> Tensor:
    """The first prediction, led by each strength from one to the next."""
    led = predictions[0]
    for strength, (without, towards) in zip(strengths, pairwise(predictions), strict=True):
        led = led + strength * (towards - without)
    return led


def random_noise(shape: Sequence[int], seed: int, like: Tensor | None = None) -> Tensor:
    """Gaussian start noise, drawn on the CPU so that a seed means the same on every device."""
    noise = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))
    return noise if like is None else noise.to(like)
