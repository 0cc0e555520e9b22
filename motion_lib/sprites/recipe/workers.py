"""Training on several GPUs at once, started by torchrun: who I am, one message of gradients, one common number."""

from __future__ import annotations

import os

import torch
from torch import nn


def join_workers(device: str) -> tuple[int, int]:
    """`(rank, workers)`, joining the others when started by torchrun; `device` is "cuda" or "cpu"."""
    workers = int(os.environ.get("WORLD_SIZE", 1))
    if workers == 1:
        return 0, 1
    rank = int(os.environ["LOCAL_RANK"])
    if device == "cuda":
        torch.cuda.set_device(rank)
    torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    return rank, workers


def agree(value: int, device: str, workers: int) -> int:
    """The first worker's number."""
    if workers == 1:
        return value
    shared = torch.tensor(value, device=device)
    torch.distributed.broadcast(shared, 0)
    return int(shared)


class FlatGradient:
    """All gradients as views of one buffer, so that workers exchange them in one message."""

    def __init__(self, model: nn.Module):
        parameters = list(model.parameters())
        self.flat = torch.zeros(sum(p.numel() for p in parameters), device=parameters[0].device)
        start = 0
        for p in parameters:
            # The gradient takes the memory layout of its parameter.
            p.grad = self.flat[start : start + p.numel()].as_strided(p.shape, p.stride())
            start += p.numel()

    def zero(self) -> None:
        self.flat.zero_()

    def share(self, workers: int) -> None:
        """The mean over all workers."""
        if workers > 1:
            torch.distributed.all_reduce(self.flat)
            self.flat.div_(workers)

    def clip(self, norm: float) -> None:
        self.flat.mul_((norm / self.flat.norm()).clamp(max=1))
