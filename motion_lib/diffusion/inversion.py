"""Inversion: from clean latents up to the noise that samples back to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..errors import MotionError
from .denoiser import Denoiser
from .process import Step

# Full corrections overshoot where the model reacts strongly to its input. Measured on sprite_t2v with 10 steps, the
# error of a clip after 0, 1, 2, 3 refinements is .24, .39, .13, .38 with full corrections and .24, .14, .10, .08 with
# half ones.
DAMPING = 0.5
REFINEMENTS = 2  # what command line and nodes use


@torch.no_grad()
def invert(
    denoiser: Denoiser,
    latents: Tensor,
    conditioning: Any,
    *,
    steps: int = 50,
    refinements: int = 0,
    on_step: Callable[[Step], object] | None = None,
) -> Tensor:
    """The noise `[b, c, f, h, w]` that sampling with the same number of steps turns back into `latents`.

    The usual recipe is an empty prompt, no guidance and an unpatched model (Song et al. 2021, arXiv 2010.02502, sec.
    4.3). Every step takes the prediction at a timestep from the latents below it, which is an approximation; each
    refinement (one more call per step) removes a part of what is left of that error by asking where sampling would have
    landed. The noise that a prediction implies is taken at the timestep it was asked for; taken at the one below, a
    v prediction of clean latents would seem to hold noise that opposes them. on_step is called after every step.
    Raises MotionError when the latents are not finite.
    """
    if not torch.isfinite(latents).all():
        raise MotionError(
            "The latents of the reference clip contain NaN or infinity: check the clip and the autoencoder."
        )
    process = denoiser.process
    x, below = latents, process.clean_end
    times = process.timesteps(steps)[::-1]
    for i, time in enumerate(times):
        at = torch.full((len(x),), time, device=x.device)
        clean, noise = process.clean_and_noise(x, denoiser(x, at, conditioning), time)
        above = process.noisy(process.clean(x, noise, below), noise, time)
        for _ in range(refinements):
            landed = process.move(above, denoiser(above, at, conditioning), time, below)
            above = above + DAMPING * (x - landed)
        x, below = above, time
        if on_step is not None:
            on_step(Step(i, steps, time, 1 - process.progress(time), x, clean))
    return x
