"""How long sampling takes with and without a patch, and DDIM inversion, in either pass over the model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from ..backbones.accelerate.recorded_sampling import for_sampling
from ..diffusion.denoiser import Denoiser
from ..diffusion.inversion import invert
from ..diffusion.sampling import random_noise, sample
from ..method.patch import MotionPatch
from .training_speed import Bench, Shape

GUIDANCE = 10.0
INVERSION_STEPS = SAMPLING_STEPS = 50
PASSES = {"as diffusers runs it": nullcontext, "as this library runs it": for_sampling}


def sampling_seconds(bench: Bench, shape: Shape, steps: int, repeats: int) -> dict[str, dict[str, float]]:
    """By pass, the seconds of 50 steps of sampling with guidance, unpatched and patched, and of inversion; medians of
    runs of `steps` steps, which take turns so that a change of clocks hits all."""
    denoiser = bench.denoiser(bench.half)
    latents = bench.latents(shape, bench.half)
    embedding = bench.embedding_for(denoiser, shape)
    generator = torch.Generator().manual_seed(3)
    drawn = {k: 0.1 * torch.randn(t.shape, generator=generator) for k, t in embedding.tensors.items()}
    patch = MotionPatch(embedding.with_tensors(drawn).to(bench.device), debias="difference")
    found = {}
    for name, opened in PASSES.items():
        with opened(denoiser) as ready:
            found[name] = _seconds(bench, ready, latents, patch, steps, repeats)
    return found


def _seconds(
    bench: Bench, denoiser: Denoiser, latents: Tensor, patch: MotionPatch, steps: int, repeats: int
) -> dict[str, float]:
    both, noise = bench.text(bench.half, 2), random_noise(latents.shape, 0, latents)

    def sampling(patches: Sequence[MotionPatch]) -> Callable[[], object]:
        return lambda: sample(
            denoiser, noise, both[:1], unconditional=both[1:], guidance=GUIDANCE, steps=steps, patches=patches
        )

    runs = {
        "unpatched": sampling([]),
        "patched": sampling([patch]),
        "inversion": lambda: invert(denoiser, latents, both[:1], steps=steps),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if bench.on_gpu:
                torch.cuda.synchronize()
            if turn:  # the first warms up
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) / steps * SAMPLING_STEPS for name, times in seconds.items()}
