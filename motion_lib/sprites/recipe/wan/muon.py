"""Muon: momentum whose matrices are orthogonalised before each step (Jordan et al. 2024), in steps as large as Adam's
(Liu et al. 2025, arXiv 2502.16982, equation 4), for weight matrices and convolutions.

Matrices of one shape are orthogonalised together, in one batched product each: `torch.optim.Muon` goes through them one
by one, which takes longer than everything else for small matrices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalised(matrices: Tensor, iterations: int = 5) -> Tensor:
    """About the nearest matrices with orthonormal rows or columns to each of `[n, rows, columns]`, by a Newton-Schulz
    iteration whose singular values end between about 0.7 and 1.2."""
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    def __init__(self, parameters, lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                shapes[p.shape].append(p)
            for shape, same in shapes.items():
                buffers = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in same]
                gradients = [p.grad for p in same if p.grad is not None]
                torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
                ahead = torch._foreach_lerp(gradients, buffers, group["momentum"])
                flat = torch.stack(list(ahead)).flatten(2)  # a convolution is a matrix of its whole windows
                update = orthogonalised(flat).unflatten(2, shape[1:])
                size = group["lr"] * 0.2 * max(flat.shape[1:]) ** 0.5
                torch._foreach_mul_(same, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(same, list((-size * update).unbind(0)))


def muon_and_adam(parameters, rate: float, weight_decay: float, fused: bool, others=()) -> list[torch.optim.Optimizer]:
    """Muon for the matrices and convolutions among `parameters`, at twice the rate; AdamW for the rest and `others`."""
    parameters = list(parameters)
    matrices = [p for p in parameters if p.ndim > 1 and min(p.shape[0], p[0].numel()) > 4]
    taken = {id(p) for p in matrices}
    rest = [p for p in (*parameters, *others) if id(p) not in taken]
    both = [
        Muon(matrices, lr=2 * rate, weight_decay=weight_decay),
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.99), weight_decay=weight_decay, fused=fused),
    ]
    for optimizer in both:
        for group in optimizer.param_groups:
            group["full_lr"] = group["lr"]
    return both


def take_step(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    """One step of each, at `factor` times its rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["full_lr"] * factor
        optimizer.step()


def moments(optimizers: list[torch.optim.Optimizer]) -> list[dict[str, Any]]:
    """What a saved state keeps of them."""
    return [optimizer.state_dict() for optimizer in optimizers]


def load_moments(optimizers: list[torch.optim.Optimizer], state: Mapping[str, Any]) -> None:
    """From a saved state, which has none where it was lightened."""
    for optimizer, kept in zip(optimizers, state.get("optimizers", []), strict=False):
        optimizer.load_state_dict(kept)
