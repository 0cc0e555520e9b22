"""Start noise whose frames resemble each other, for image models that make a video frame by frame.

A prior says how much the noise of two frames correlates, by how far apart they are; Gaussian noise is fully described
by that and its unit variance. `tied` gives fresh noise these correlations by the Cholesky factor of their matrix, which
for progressive noise is the published recursion itself. So the first frame is the fresh noise as it was drawn, whatever
the prior: another prior gives the same seed another continuation of the same first picture, and noise that is known,
such as that of an inverted picture, can take the first frame's place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import MotionError
from .sampling import random_noise

MOST_DEPENDENCY = math.exp(0.5)  # the λ of independent frames
NOTHING_LEFT = 1e-12  # of a frame's own variance, below which it is a repetition of the frames before it


@dataclass(frozen=True)
class FramePrior:
    """How the noise of frames is tied.

    correlation: of frames that lie `[…]` apart, when neighbours correlate by ρ; 1 where they lie 0 apart. symbol,
    published, highest: the number that its paper ties frames with, its value there, and the highest it can be.
    similarity: the ρ that follows from that number.
    """

    correlation: Callable[[Tensor, float], Tensor]
    symbol: str
    published: float
    highest: float
    similarity: Callable[[float], float]


def apart(distance: Tensor, similarity: float) -> Tensor:
    """No frame resembles another; what is usual."""
    return (distance == 0).to(distance)


def alike(distance: Tensor, similarity: float) -> Tensor:
    """Every frame resembles every other by ρ: all share a part of their noise (PYoCo, arXiv 2305.10474, sec. 3.2)."""
    return similarity ** distance.clamp(max=1)


def chained(distance: Tensor, similarity: float) -> Tensor:
    """ρ to the power of the distance: ε_i = ρ·ε_{i−1} + √(1−ρ²)·n (PYoCo, sec. 3.2; ZS², arXiv 2407.21475)."""
    return similarity**distance


def shared_part(alpha: float) -> float:
    """α²/(1+α²): of ε_i = s + e_i with s ~ N(0, α²/(1+α²)) and e_i ~ N(0, 1/(1+α²))."""
    return alpha**2 / (1 + alpha**2)


def carried_part(alpha: float) -> float:
    """α/√(1+α²): of ε_i = α/√(1+α²)·ε_{i−1} + e_i with e_i ~ N(0, 1/(1+α²))."""
    return alpha / math.sqrt(1 + alpha**2)


def dependency(lambda_: float) -> float:
    """1 − λ/√e. ZS² seeks, frame by frame, the a of ε_i = √a·ε_{i−1} + √(1−a)·n with which the mean of
    exp(ε_{i−1})·(ε_{i−1} − ε_i) is λ. For standard normals x this mean is (1−√a)·E[x·exp(x)] = (1−√a)·√e, so that no
    search is needed."""
    return 1 - lambda_ / MOST_DEPENDENCY


PRIORS: dict[str, FramePrior] = {
    "dependency": FramePrior(chained, "λ", 0.01, MOST_DEPENDENCY, dependency),
    "progressive": FramePrior(chained, "α", 2.0, 1e6, carried_part),
    "mixed": FramePrior(alike, "α", 1.0, 1e6, shared_part),
    "independent": FramePrior(apart, "", 0.0, 0.0, lambda _: 0.0),
}

PRIOR_HELP = (
    "How the start noise of the frames is tied together: in dependency (ZS²) and progressive noise (PYoCo), every "
    "frame resembles the one before it, and the more distant ones less and less; in mixed noise (PYoCo), all frames "
    "resemble each other equally; independent noise is the usual one. At the same similarity, dependency and "
    "progressive noise are the same."
)
SIMILARITY_HELP = (
    "How much the noise of neighbouring frames correlates: 0 makes every frame another picture, 1 makes them all the "
    "same. Published are "
    + ", ".join(f"{p.similarity(p.published):.3f} for {name}" for name, p in PRIORS.items() if p.symbol)
    + "; independent noise ignores it."
)


def similarity_of(prior: str, parameter: float | None = None) -> float:
    """The correlation ρ of neighbouring frames by the number of the prior's paper, which is λ or α; as published there
    without one.

    Raises MotionError for an unknown prior, one without such a number, and a number that it cannot have.
    """
    known = _known(prior)
    if parameter is None:
        return known.similarity(known.published)
    if not known.symbol:
        raise MotionError(f"{prior} noise has no number to set: leave it out, or choose another prior.")
    if not 0 <= parameter <= known.highest:  # nor NaN
        raise MotionError(
            f"The {known.symbol} of {prior} noise is {parameter:g}, but it must lie between 0 and {known.highest:.4g}."
        )
    return known.similarity(parameter)


def correlations(prior: str, similarity: float, frames: int) -> Tensor:
    """How much every frame's noise correlates with every other's, float64 `[f, f]`.

    Raises MotionError for an unknown prior and a similarity that is not between 0 and 1.
    """
    known = _known(prior)
    if not 0 <= similarity <= 1:  # nor NaN
        raise MotionError(
            f"The similarity is {similarity:g}, but it must lie between 0 (frames have nothing in common) and 1 (all "
            f"frames are the same)."
        )
    number = torch.arange(frames, dtype=torch.float64)
    return known.correlation((number[:, None] - number).abs(), similarity)


def tied(fresh: Tensor, prior: str = "dependency", similarity: float | None = None) -> Tensor:
    """Noise `[b, c, f, h, w]` whose frames correlate as this prior says, out of independent noise of that shape; the
    first frame stays as it is.

    similarity: the correlation of neighbouring frames; as published without it.
    Raises MotionError as `correlations` does.
    """
    ties = correlations(prior, similarity_of(prior) if similarity is None else similarity, fresh.shape[2])
    exact = fresh if fresh.dtype == torch.float64 else fresh.float()
    return torch.einsum("ij,bcjhw->bcihw", _factor(ties).to(exact), exact).to(fresh)


def frame_noise(
    shape: Sequence[int],
    seed: int,
    prior: str = "dependency",
    similarity: float | None = None,
    like: Tensor | None = None,
) -> Tensor:
    """Start noise `[b, c, f, h, w]`, drawn and tied on the CPU so that a seed means the same on every device; see
    `tied`."""
    noise = tied(random_noise(shape, seed), prior, similarity)
    return noise if like is None else noise.to(like)


def _known(prior: str) -> FramePrior:
    if prior not in PRIORS:
        raise MotionError(f"The noise prior is '{prior}', but it must be one of {', '.join(PRIORS)}.")
    return PRIORS[prior]


def _factor(matrix: Tensor) -> Tensor:
    """The lower triangular L `[f, f]` with L·Lᵀ = matrix. PyTorch's Cholesky needs a positive definite matrix, but
    frames that are all the same have a singular one: their own part is zero here."""
    factor = torch.zeros_like(matrix)
    for i in range(len(matrix)):
        rest = matrix[i:, i] - factor[i:, :i] @ factor[i, :i]
        if rest[0] > NOTHING_LEFT:
            factor[i:, i] = rest / rest[0].sqrt()
    return factor
