"""Saving a stage's whole state, and a clock that ends a stage early."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import torch


def save(path: Path, **state) -> None:
    """Write the state to a temporary file, then rename: an interrupted save leaves the last one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    torch.save(state, temporary)
    os.replace(temporary, path)


def load(path: Path, device: str) -> dict | None:
    return torch.load(path, map_location=device, weights_only=True) if path.exists() else None


class Clock:
    """True once the given number of minutes has passed; the stage then saves and can be started again."""

    def __init__(self, minutes: float):
        self.start, self.minutes = time.monotonic(), minutes

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    def synchronized(self, device: str) -> float:
        """Seconds once everything queued on the device is done."""
        if device != "cpu":
            torch.cuda.synchronize()
        return self.seconds

    def over(self) -> bool:
        return self.minutes > 0 and self.seconds > 60 * self.minutes


def cosine(step: int, steps: int, warmup: int, floor: float = 0.01) -> float:
    """Learning rate factor: linear warm-up, then a half cosine down to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def average(ema: dict, model: torch.nn.Module, decay: float) -> None:
    """Exponential moving average of the weights, in place."""
    with torch.no_grad():
        names, values = zip(*model.named_parameters(), strict=True)
        torch._foreach_lerp_([ema[name] for name in names], list(values), 1 - decay)


def averaged(model: torch.nn.Module) -> dict:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def lighten(path: Path, out: Path) -> None:
    """The averaged weights of a state alone, in half precision: an eighth of its size. Training carries on from them
    with new moments."""
    state = load(path, "cpu")
    assert state is not None, f"{path} does not exist"
    ema = {name: value.half() for name, value in state["ema"].items()}
    save(out, ema=ema, **{key: state[key] for key in ("step", "mean", "std") if key in state})
