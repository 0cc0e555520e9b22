"""One run of a stage: its clock and its steps, how many of them fit, and what is saved and told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import checkpoint
from .workers import agree, join_workers


class Run:
    """A stage that trains on one device, or on every GPU of the machine when started by `torchrun`, and carries on from
    the state in `path`.

    kind: "cuda" or "cpu"; device: the one of this worker. step: how many are done, of all runs; first: how many were
    when this one began; steps: the number to reach, 0 as long as it is not known how many fit.
    """

    def __init__(self, path: Path, steps: int, minutes: float, kind: str):
        self.path, self.steps, self.kind = path, steps, kind
        self.clock = checkpoint.Clock(minutes)
        self.rank, self.workers = join_workers(kind)
        self.device = f"cuda:{self.rank}" if kind == "cuda" else kind
        self.first = self.step = 0
        self.begun, self.values = 0.0, []

    def start(self, model: nn.Module) -> dict[str, Any]:
        """The state that the stage was left in, empty for none, whose weights the model takes on; those averaged are
        among it as `ema`."""
        self.ema = checkpoint.averaged(model)
        state = checkpoint.load(self.path, self.device) or {}
        if state:
            model.load_state_dict(state.get("model", state["ema"]), strict="model" in state)
            self.ema = {name: value.float() for name, value in state["ema"].items()}
            self.first = self.step = state["step"]
        return state

    @property
    def done(self) -> int:
        """Steps of this run."""
        return self.step - self.first

    @property
    def going(self) -> bool:
        return self.step < self.steps or not self.steps

    def count(self, value: Tensor) -> None:
        """A step is done; `value` is what is told of it, as a mean over steps."""
        self.step += 1
        self.values.append(value.detach())

    def fit(self, start: int, end: int) -> None:
        """Called after every step: without a number of steps, take as many as fit into the minutes, judged by those
        from the `start`-th to the `end`-th of this run."""
        if self.done == start:
            self.begun = self.clock.synchronized(self.kind)
        if self.done == end and not self.steps:
            pace = (self.clock.synchronized(self.kind) - self.begun) / (end - start)
            fitting = int((60 * self.clock.minutes - self.clock.seconds) / pace)
            self.steps = agree(self.step + fitting, self.device, self.workers)

    def mean(self) -> Tensor:
        """The mean of all values since the last time."""
        values, self.values = self.values, []
        return torch.stack(values).mean()

    def tell(self, **facts: Any) -> None:
        if self.rank == 0:
            print(json.dumps({"step": self.step, **facts, "seconds": round(self.clock.seconds)}), flush=True)

    def save(self, model: nn.Module, **state: Any) -> None:
        if self.rank == 0:
            checkpoint.save(self.path, model=model.state_dict(), ema=self.ema, step=self.step, **state)
