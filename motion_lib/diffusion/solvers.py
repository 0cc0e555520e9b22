"""How sampling goes from one time to the next, by what the model takes for the clean latents.

Every process has x_t = a·x_0 + b·ε. With λ = ln(a / b), the exact step from time s to t is

    x_t = (b_t / b_s)·x_s + a_t·∫ e^(λ − λ_t)·x_0(λ) dλ   from λ_s to λ_t

and a solver takes x_0(λ) for a polynomial through some of its predictions. The first order, where it is constant, is
DDIM, and Euler's step of flow matching.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..errors import MotionError
from .process import Process, Time


class Solver(Protocol):
    """Called once in every step of a run, with x_t at the time of the step, the x_0 and ε that were found there, the
    time below, and whether it is the last step; returns what the model is asked about next."""

    def __call__(self, noisy: Tensor, clean: Tensor, noise: Tensor, time: Time, below: Time, last: bool) -> Tensor: ...


class FirstOrder:
    """DDIM, or Euler's step: what there is of x_0 and ε, mixed for the time below."""

    def __init__(self, process: Process):
        self.process = process

    def __call__(self, noisy: Tensor, clean: Tensor, noise: Tensor, time: Time, below: Time, last: bool) -> Tensor:
        return self.process.noisy(clean, noise, below)


@dataclass(frozen=True)
class _Place:
    """a, b and λ at a time; λ is −∞ at pure noise and ∞ where no noise is left."""

    signal: float
    spread: float

    @property
    def log_ratio(self) -> float:
        if self.signal <= 0 or self.spread <= 0:
            return -math.inf if self.signal <= 0 else math.inf
        return math.log(self.signal / self.spread)


@dataclass(frozen=True)
class _Made:
    """A step that was made: where it began, x_t there as corrected, the x_0 found there, and the step's order."""

    place: _Place
    noisy: Tensor
    clean: Tensor
    order: int


class UniPC:
    """UniPC of the second order with B(h) = e^h − 1 (Zhao et al. 2023, arXiv 2302.04867), as diffusers has it for Wan.

    A step first corrects where the step before it led to, by the prediction that was made there, and then goes on by
    the last two predictions. A prediction at pure noise, where λ has no end, is not looked back at. The last step is of
    the first order.
    """

    def __init__(self, process: Process):
        self.process = process
        self.before: _Made | None = None  # the last step
        self.earlier: _Made | None = None  # the one before it

    def __call__(self, noisy: Tensor, clean: Tensor, noise: Tensor, time: Time, below: Time, last: bool) -> Tensor:
        here = self._place(time)
        if self.before is not None:
            noisy = self._corrected(self.before, self.earlier, here, clean)
        known = self.before is not None and math.isfinite(self.before.place.log_ratio)
        made = _Made(here, noisy, clean, order=2 if known and not last else 1)
        self.before, self.earlier = made, self.before
        return self._predicted(made, self.earlier, self._place(below))

    def _predicted(self, step: _Made, earlier: _Made | None, to: _Place) -> Tensor:
        moved, h, weight = _first_order(step, to)
        return moved if step.order == 1 or earlier is None else moved + 0.5 * weight * _slope(step, earlier, h)

    def _corrected(self, step: _Made, earlier: _Made | None, to: _Place, clean: Tensor) -> Tensor:
        """Where a step led to, now that the x_0 is known that is found there."""
        moved, h, weight = _first_order(step, to)
        change = clean - step.clean
        if step.order == 1 or earlier is None:
            return moved + 0.5 * weight * change
        # What the two slopes are multiplied by, so that x_0 may be a polynomial of the second degree in λ.
        b_h = math.expm1(-h)
        first = (-b_h / h - 1) / b_h
        second = 2 * ((b_h / h + 1) / h - 0.5) / b_h
        on_earlier = (second - first) / (_ratio(step, earlier, h) - 1)
        return moved + weight * (on_earlier * _slope(step, earlier, h) + (first - on_earlier) * change)

    def _place(self, time: Time) -> _Place:
        signal, spread = self.process.coefficients(time, torch.zeros((), dtype=torch.float64))
        return _Place(float(signal), float(spread))


def _first_order(step: _Made, to: _Place) -> tuple[Tensor, float, float]:
    """The step that takes x_0 to be constant, how far it goes in λ, and what a change of x_0 is multiplied by."""
    h = to.log_ratio - step.place.log_ratio
    weight = -to.signal * math.expm1(-h)
    return to.spread / step.place.spread * step.noisy + weight * step.clean, h, weight


def _ratio(step: _Made, earlier: _Made, h: float) -> float:
    return (earlier.place.log_ratio - step.place.log_ratio) / h


def _slope(step: _Made, earlier: _Made, h: float) -> Tensor:
    return (earlier.clean - step.clean) / _ratio(step, earlier, h)


SOLVERS: dict[str, Callable[[Process], Solver]] = {"euler": FirstOrder, "unipc": UniPC}
SAMPLER_HELP = (
    "How sampling goes from step to step. euler is the plain step, which is DDIM for models that do not match flows; "
    "unipc looks back at earlier steps, as the folders of Wan ask for"
)


def solver(name: str, process: Process) -> Solver:
    """A new one for one run. Raises MotionError for an unknown name."""
    if name not in SOLVERS:
        raise MotionError(f"sampler is '{name}', but it must be one of {', '.join(SOLVERS)}.")
    return SOLVERS[name](process)
