"""Training and sampling with Wan under a cap on the allocator, as on a smaller card."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from ..backbones.accelerate.training_modes import Plan, accelerated, plan_training, training_bytes
from ..training.loop import train
from ..training.state import TrainingState
from .device_use import GIB, free, peaks, reset_peak
from .wan_full_size import PRESET, WanBench, WanShape
from .wan_sampling_speed import sampling_seconds

CAPS = {"wan-1.3b": 7.5, "wan-14b": 24.0}  # GiB
STEPS = 4


@dataclass(frozen=True)
class Stage:
    """reserved: GiB at its peak, None where it was not run. said: what is to be said of it."""

    name: str
    reserved: float | None
    said: str


def under_a_cap(bench: WanBench, shape: WanShape, cap: float) -> Iterator[Stage]:
    """Every stage as it is done, in a process that may take `cap` GiB. The text is encoded before, and videos are
    decoded after, by models that need not be there meanwhile. A model that does not fit with what training in
    low_memory needs is not loaded, since this library keeps all blocks on the GPU; a stage that runs out of memory says
    so. Needs a GPU, but for saying that a model does not fit."""
    meta = bench.without_data()
    *_, frames, height, width = shape.latents
    plan = Plan("low_memory", meta.abilities.rungs[-1])
    needed = training_bytes(meta.abilities, shape.latents, PRESET.empty(meta.backbone, frames, (height, width)), plan)
    weights = sum(weight.nbytes for weight in meta.network.parameters())
    both = f"{weights / GIB:.1f} GiB of weights and {needed / GIB:.1f} GiB to train in low_memory"
    if weights + needed > cap * GIB:
        yield Stage("train", None, f"not possible: {both}; this library does not move blocks to and fro")
        return
    if not bench.on_gpu:
        yield Stage("train", None, f"needs a GPU; by the estimate {both}")
        return
    with _capped(bench, cap):
        for name, run in (("load", _load), ("train", _train), ("sample", _sample)):
            reset_peak(bench.device)
            try:
                said = run(bench, shape)
            except torch.cuda.OutOfMemoryError:
                said = "out of memory"
            free()
            yield Stage(name, peaks(bench.device)[1] / GIB, said)
            if said == "out of memory" and name == "load":
                return


@contextmanager
def _capped(bench: WanBench, cap: float) -> Iterator[None]:
    bench.clear()
    total, index = torch.cuda.get_device_properties(bench.device).total_memory, bench.device.index or 0
    torch.cuda.set_per_process_memory_fraction(cap * GIB / total, index)
    try:
        yield
    finally:
        bench.clear()
        torch.cuda.set_per_process_memory_fraction(1.0, index)


def _load(bench: WanBench, shape: WanShape) -> str:
    bench.denoiser()
    return f"{bench.weights / GIB:.1f} GiB of weights"


def _train(bench: WanBench, shape: WanShape) -> str:
    denoiser = bench.denoiser()
    latents, text, empty = bench.clip(shape), bench.text(), bench.empty(denoiser, shape)
    plan = plan_training(denoiser, "auto", shape.latents, empty)
    state = TrainingState.start(empty, replace(PRESET.settings, steps=STEPS), bench.device)
    with accelerated(denoiser, plan) as ready:
        for _ in train(ready, latents, text, state):
            pass
    return plan.describe()


def _sample(bench: WanBench, shape: WanShape) -> str:
    steps = 2
    sampling_seconds(bench, shape, steps, 1)
    return f"{steps} steps with guidance, patched and unpatched"
