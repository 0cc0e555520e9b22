"""Time and memory as a GPU counts them; on a CPU there is time alone."""

from __future__ import annotations

import gc
import itertools
import time
from typing import Any

import torch

GIB = 2**30


def free() -> None:
    """Give back what nobody holds, so that the next measurement starts from nothing."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def mark(device: torch.device) -> Any:
    """A moment in the work of a device."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def intervals(device: torch.device, marks: list[Any]) -> list[float]:
    """Milliseconds between marks."""
    if device.type != "cuda":
        return [1e3 * (b - a) for a, b in itertools.pairwise(marks)]
    torch.cuda.synchronize()
    return [a.elapsed_time(b) for a, b in itertools.pairwise(marks)]


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def held(device: torch.device) -> tuple[int, int]:
    """Bytes that tensors hold, and that this process has taken from the device for them; 0 on a CPU."""
    if device.type != "cuda":
        return 0, 0
    return torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)


def peaks(device: torch.device) -> tuple[float, float]:
    """The most of both, in bytes, since `reset_peak`; NaN on a CPU."""
    if device.type != "cuda":
        return float("nan"), float("nan")
    return float(torch.cuda.max_memory_allocated(device)), float(torch.cuda.max_memory_reserved(device))
