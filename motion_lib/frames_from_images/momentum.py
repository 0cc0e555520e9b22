"""Temporal momentum attention (ZS², arXiv 2407.21475): every frame looks at what the frames before it look like.

In spatial self-attention, keys and values of frame i are those of a running mean over the frames up to it,

    x̃_0 = x_0,  x̃_i = μ·x̃_{i−1} + (1−μ)·x_i,

while its queries stay its own. μ = 0 is self-attention, μ = 1 attention to the first frame. The paper's matrix form is
this mean; the loop that is printed with it takes the raw neighbour x_{i−1} instead, and is something else.

The mean is taken of what keys and values are computed from. Both projections are affine and the weights of the mean add
up to 1, so that the mean of the keys and values themselves is the same within rounding (tests/frames_from_images); but
here one mean serves both, nothing has to be known of how a model projects, and it is what ComfyUI lets a patch change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import MotionError, shown

SCALES = (1, 2, 4, 8, 16, 32)  # how many times smaller than the latents a layer of a UNet may be


@dataclass(frozen=True)
class Momentum:
    """How temporal momentum attention acts.

    Raises MotionError for a number outside its range, an empty part of sampling, or a scale that no layer has.
    """

    momentum: float = 0.98
    """How much each frame looks at the frames before it rather than at itself: 0 is not at all, bit for bit; 1 lets all
    frames look at the first one only."""
    start: float = 0.0
    """The point of sampling at which the momentum begins to act: 0 is pure noise."""
    end: float = 1.0
    """The point of sampling at which the momentum stops acting: 1 is the finished video."""
    scales: tuple[int, ...] = ()
    """The layers that act, by how many times smaller than the latents they work: 1,2 are the two finest kinds. Without
    any, all layers act."""

    def __post_init__(self) -> None:
        if not 0 <= self.momentum <= 1:  # nor NaN
            raise MotionError(
                f"The momentum is {self.momentum:g}, but it must lie between 0 (every frame looks at itself) and 1 "
                f"(all frames look at the first one)."
            )
        if not 0 <= self.start <= self.end <= 1:
            raise MotionError(
                f"The momentum acts from start {self.start:g} to end {self.end:g}, but they must lie between 0 and 1, "
                f"in this order."
            )
        if wrong := [scale for scale in self.scales if scale not in SCALES]:
            raise MotionError(f"{wrong[0]} is no scale of a layer: choose among {', '.join(map(str, SCALES))}.")

    @property
    def constant(self) -> bool:
        """Whether it acts in the same way in all of sampling, so that nobody has to ask how far that has come."""
        return self.momentum == 0 or (self.start, self.end) == (0, 1)

    def acts_at(self, progress: float) -> bool:
        """progress: 0 at pure noise, 1 at the clean end."""
        return self.momentum > 0 and self.start <= progress <= self.end

    def acts_in(self, scale: int) -> bool:
        """Whether it acts in layers that work at latents divided by this."""
        return not self.scales or scale in self.scales


def parse_scales(name: str, text: str) -> tuple[int, ...]:
    """`1, 2` as (1, 2), and nothing but spaces as (). Raises MotionError, calling the text by its name."""
    try:
        return tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        raise MotionError(
            f"{name} is '{shown(text, 80)}', but it must be a list of {', '.join(map(str, SCALES))}, such as 1,2, or "
            f"be left empty."
        ) from None


def scale_of(size: Sequence[int], latent_size: Sequence[int]) -> int:
    """How many times smaller than the latents a layer works, by the height and width of both; every halving rounds
    up."""
    return 2 ** round(math.log2(max(latent_size) / max(size)))


def running_mean(features: Tensor, momentum: float, videos: int, frames: int) -> Tensor:
    """x̃ of features `[(videos frames parts), …]`, of the same shape; parts are what a frame was cut into, usually 1.

    μ = 1 is the first frame's features, bit for bit.
    """
    # Weights of every frame in every mean: μ^i of the first, (1−μ)·μ^(i−j) of the others.
    number = torch.arange(frames, device=features.device, dtype=torch.float32)
    lag = number[:, None] - number
    weights = torch.where(number > 0, 1 - momentum, 1.0) * momentum ** lag.clamp(min=0) * (lag >= 0)
    rows = features.reshape(videos, frames, -1)
    return (weights.to(features.dtype) @ rows).reshape(features.shape)
