"""How long the self-attention takes by each of PyTorch's fused implementations, and by the one that PyTorch chooses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from .device_use import intervals, mark
from .speed_checks import Check
from .wan_full_size import WanBench, WanShape

KINDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cuDNN": getattr(SDPBackend, "CUDNN_ATTENTION", None),  # since PyTorch 2.5
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
}
REPEATS = 4
SLOWER = 1.1  # than the fastest, which the chosen one may be


def attention_checks(bench: WanBench, shape: WanShape) -> Iterator[Check]:
    """That the implementation which PyTorch chooses is about the fastest; on a CPU, and where none runs, nothing."""
    if not bench.on_gpu:
        return
    usual = _milliseconds(bench, shape, nullcontext())
    found = {name: ms for name, kind in KINDS.items() if kind and (ms := _tried(bench, shape, kind)) is not None}
    if not found:
        return
    named = ", ".join(f"{name} {ms:.1f}" for name, ms in found.items())
    yield Check(
        "the attention that PyTorch chooses is the fastest",
        usual <= SLOWER * min(found.values()),
        f"forward and backward {usual:.1f} ms; {named}",
    )


def _tried(bench: WanBench, shape: WanShape, kind: SDPBackend) -> float | None:
    try:
        return _milliseconds(bench, shape, sdpa_kernel(kind))
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError:  # this implementation does not run here
        return None


def _milliseconds(bench: WanBench, shape: WanShape, inside: AbstractContextManager[object]) -> float:
    """Of one call and its backward pass, the fastest of some."""
    heads, width = bench.config["num_attention_heads"], bench.config["attention_head_dim"]
    size = (1, shape.tokens, heads, width)
    q, k, v = (_random(size, bench).transpose(1, 2).requires_grad_() for _ in range(3))
    with inside, torch.enable_grad():
        marks = []
        for _ in range(REPEATS):
            marks.append(mark(bench.device))
            out = F.scaled_dot_product_attention(q, k, v)
            torch.autograd.grad(out, (q, k, v), out.detach())
        marks.append(mark(bench.device))
    return min(intervals(bench.device, marks))


def _random(size: tuple[int, ...], bench: WanBench) -> Tensor:
    return torch.randn(size, device=bench.device, dtype=bench.dtype)
