"""Training on Wan in several ways: time and memory of a whole step as `train` makes it, beside the plan's estimate."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..backbones.accelerate.training_modes import Plan, accelerated, free_memory, training_bytes
from ..backbones.wan.denoiser import WanDenoiser
from ..training.learner import LearningState
from ..training.loop import train
from ..training.state import TrainingState
from .device_use import GIB, free, held, intervals, mark, peaks, reset_peak
from .wan_full_size import PRESET, WanBench, WanShape
from .wan_lora import EveryBlockAgain, lora_training

LORA, PLAIN, LOW_MEMORY = "LoRA trainer", "plain", "low_memory"
WAYS = (LORA, PLAIN, LOW_MEMORY)
MOTION_STEPS = 150  # of a whole motion as the UNet's preset learns it; this preset's own number is less
NAN = float("nan")


@dataclass
class WanMeasured:
    """ms: of a step, the median after warm-up; times: all that were timed. allocated, reserved: GiB at the peak with
    all there is, held by tensors and taken from the device. beside_allocated, beside_reserved: the same without what
    was there before, the model. needed: the plan's estimate of that in GiB, if there is one. first: seconds until the
    first step was done. said: why it was not measured, if it was not."""

    way: str
    shape: str
    ms: float = NAN
    allocated: float = NAN
    reserved: float = NAN
    beside_allocated: float = NAN
    beside_reserved: float = NAN
    needed: float | None = None
    first: float = NAN
    losses: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    said: str = ""

    @property
    def estimate_off(self) -> float:
        """The estimate's error as a share of what was taken from the device beside the model."""
        return NAN if self.needed is None else self.needed / self.beside_reserved - 1

    def seconds(self, steps: int) -> float:
        """For so many steps at this pace."""
        return self.ms * steps / 1e3


def measure(bench: WanBench, way: str, shape: WanShape, timed: int, warm_up: int, estimate: bool = True) -> WanMeasured:
    """Train for this many steps, from the beginning, as a user would.

    way: one of WAYS. A way that by its estimate does not fit, or for which memory runs out, says so and is not
    measured. estimate: without it nothing is estimated, which takes seconds, and a way is tried in any case.
    """
    denoiser = bench.denoiser()
    free()
    found = WanMeasured(way, str(shape))
    if estimate and way != LORA:
        found.needed = _needed(bench, denoiser, way, shape) / GIB
        room = free_memory(bench.device)
        if room is not None and found.needed > room / GIB:
            found.said = f"does not fit: needs {found.needed:.1f} GiB beside the model, {room / GIB:.1f} are free"
            return found
    try:
        _train(bench, denoiser, shape, timed, warm_up, found)
    except torch.cuda.OutOfMemoryError:
        found.said = f"out of memory at {peaks(bench.device)[1] / GIB:.1f} GiB taken"
    free()  # outside of the handler, which holds what the step held
    return found


def plan_of(way: str, denoiser: WanDenoiser) -> Plan:
    """What a mode computes twice."""
    return Plan(way, denoiser.abilities.rungs[-1] if way == LOW_MEMORY else ())


def _needed(bench: WanBench, denoiser: WanDenoiser, way: str, shape: WanShape) -> int:
    return training_bytes(denoiser.abilities, shape.latents, bench.empty(denoiser, shape), plan_of(way, denoiser))


def _train(
    bench: WanBench, denoiser: WanDenoiser, shape: WanShape, timed: int, warm_up: int, found: WanMeasured
) -> None:
    reset_peak(bench.device)
    before_allocated, before_reserved = held(bench.device)
    latents, text = bench.clip(shape), bench.text()
    began, marks = time.perf_counter(), []
    with _begun(bench, denoiser, found.way, shape, max(1, warm_up) + timed) as (ready, state):
        for _ in train(ready, latents, text, state):
            marks.append(mark(bench.device))
            if len(marks) == 1:
                found.first = time.perf_counter() - began
        found.times = intervals(bench.device, marks)[-timed:]
        allocated, reserved = peaks(bench.device)
    found.losses, found.ms = list(state.losses), statistics.median(found.times)
    found.allocated, found.reserved = allocated / GIB, reserved / GIB
    found.beside_allocated = (allocated - before_allocated) / GIB
    found.beside_reserved = (reserved - before_reserved) / GIB


@contextmanager
def _begun(
    bench: WanBench, denoiser: WanDenoiser, way: str, shape: WanShape, steps: int
) -> Iterator[tuple[Any, LearningState[Any]]]:
    """A Denoiser to train with, and what learns, before the first step."""
    if way == LORA:
        yield EveryBlockAgain(denoiser), lora_training(denoiser, steps, bench.device)
        return
    settings = replace(PRESET.settings, steps=steps)
    with accelerated(denoiser, plan_of(way, denoiser)) as ready:
        yield ready, TrainingState.start(bench.empty(denoiser, shape), settings, bench.device)
