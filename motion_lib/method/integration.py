"""How a learned tensor m joins a layer's normalised input F. Every integration is `(hidden, m) -> hidden`, where m
`[…, f, c]` broadcasts over hidden `[b, …, f, c]` and carries debias and strength already: all of these are linear in m,
so that strength 0 is no patch and resampling, debias and strengths may act on m in any order."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

EXTRA_CHANNELS = 32  # k of `concatenate`


def add(hidden: Tensor, m: Tensor) -> Tensor:
    """F + m (Motion Inversion, arXiv 2403.20193, eq. 3 and 4)."""
    return hidden + m


def concatenate(hidden: Tensor, m: Tensor) -> Tensor:
    """[F, n]·[I; W] = F + n·W: k extra channels n, led back to c channels by a learned linear map W `[k, c]` that is
    zero at the start. The product m = n·W, an embedding of rank k, is formed once per video, not at every call."""
    return hidden + m


def multiply(hidden: Tensor, m: Tensor) -> Tensor:
    """F·(1 + m), as F + F·m, which keeps the small values of m that 1 + m would round away in half precision."""
    return torch.addcmul(hidden, hidden, m)


INTEGRATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": add,
    "concatenate": concatenate,
    "multiply": multiply,
}
