"""Training losses. Every one is `(prediction, target, generator) -> scalar` over `[b, c, f, h, w]`, where the target
is ε or v as the model predicts it; what a loss draws at random comes from the CPU generator it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MotionError

Loss = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def mse(prediction: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
    """mean (p − y)²: the denoising objective."""
    return (prediction - target).square().mean()


def debiased(prediction: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
    """mse + mean (φ(p) − φ(y))² with φ(e)_i = α·e_i − β·e_a, β = 1, α = √(β²+1) and one random anchor frame a: the part
    that all frames share, appearance, counts less (MotionDirector, arXiv 2310.08465, eq. 5 and 6)."""
    anchor = int(torch.randint(prediction.shape[2], (), generator=generator))
    beta = 1.0
    alpha = (beta**2 + 1) ** 0.5
    difference = prediction - target  # φ is linear: φ(p) − φ(y) = φ(p − y)
    shifted = alpha * difference - beta * difference[:, :, anchor : anchor + 1]
    return difference.square().mean() + shifted.square().mean()


def velocity(prediction: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
    """1 − mean cos(|Δp|, |Δy|), Δ the difference of neighbouring frames and the cosine along the frames of one value
    of `[c, h, w]` (VMC, arXiv 2312.00845, appendix A.2). Blind to the scale of either.

    Where the target does not change at all there is no direction to match, and the mean leaves it out; a prediction
    that does not change where the target does counts as a cosine of 0.
    Raises MotionError for fewer than three frames: the cosine of a single difference is 1, whatever it is.
    """
    if prediction.shape[2] < 3:
        raise MotionError(
            f"The velocity loss compares how frames change and needs at least 3, but the clip has "
            f"{prediction.shape[2]}: use a longer clip or another loss."
        )
    moved, wanted = prediction.diff(dim=2).abs(), target.diff(dim=2).abs()
    cosine = F.cosine_similarity(moved, wanted, dim=2)  # 0 where either is 0
    known = (wanted.amax(dim=2) > 0).to(cosine)
    return ((1 - cosine) * known).sum() / known.sum().clamp(min=1)


LOSSES: dict[str, Loss] = {
    "mse": mse,
    "debiased": debiased,
    "hybrid": debiased,
    "velocity": velocity,
}


@dataclass(frozen=True)
class SpatialTerm:
    """What a loss adds: mse of one random frame, seen by a LoRA on the spatial transformers and not by the embedding.

    The LoRA takes on the look of the clip, so that the embedding need not: it acts, without learning, in the pass over
    all frames as well, and is thrown away after training (MotionDirector, arXiv 2310.08465, sec. 3.2). skipped: share
    of the steps that go without it altogether.
    """

    rank: int = 32
    learning_rate: float = 5e-4
    skipped: float = 0.2


# The losses that have one.
SPATIAL: dict[str, SpatialTerm] = {
    "hybrid": SpatialTerm(),
}
