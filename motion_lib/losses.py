"""Training losses. Every one is `(prediction, target, generator) -> scalar` over `[b, c, f, h, w]`, where the target
is ε or v as the model predicts it; what a loss draws at random comes from the CPU generator it is given."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

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


LOSSES: dict[str, Loss] = {
    "mse": mse,
    "debiased": debiased,
}
