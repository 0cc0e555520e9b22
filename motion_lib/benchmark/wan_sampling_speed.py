"""How long sampling from Wan takes with and without a motion."""

from __future__ import annotations

import time

import torch

from ..backbones.accelerate.recorded_sampling import for_sampling
from ..diffusion.sampling import random_noise, sample
from ..method.patch import MotionPatch
from .wan_full_size import WanBench, WanShape

GUIDANCE = 5.0
STEPS, TURNS = 4, 3


def sampling_seconds(
    bench: WanBench, shape: WanShape, steps: int = STEPS, turns: int = TURNS
) -> dict[str, list[float]]:
    """The seconds of every run of `steps` steps with guidance, unpatched and patched by turns, so that a change of
    clocks hits both. The motion acts in all of the run; the preset's acts in the first 40 %."""
    denoiser = bench.denoiser()
    noise, both = random_noise(shape.latents, 0, bench.clip(shape)), bench.text(2)
    patch = MotionPatch(bench.drawn(denoiser, shape), debias="vanilla")
    seconds: dict[str, list[float]] = {"unpatched": [], "patched": []}
    with for_sampling(denoiser) as ready:
        for turn in range(turns + 1):
            for name, found in seconds.items():
                patches = [patch] if name == "patched" else []
                began = time.perf_counter()
                sample(
                    ready,
                    noise,
                    both[:1],
                    unconditional=both[1:],
                    guidance=GUIDANCE,
                    steps=steps if turn else 1,  # the first warms up
                    patches=patches,
                )
                if bench.on_gpu:
                    torch.cuda.synchronize()
                if turn:
                    found.append(time.perf_counter() - began)
    return seconds
