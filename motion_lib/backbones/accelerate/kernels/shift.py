"""A motion embedding added to what attention over frames reads."""

# Triton is optional, and a kernel is indexed with its grid.
# pyright: reportMissingImports=false, reportIndexIssue=false
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK_SIZE = 2048


@triton.jit
def _shift(hidden, m, out, frames, positions, channels, apart, total, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < total
    row = at // channels
    frame, position = row // positions % frames, row % positions
    there = (position * apart + frame) * channels + at % channels
    value = tl.load(hidden + at, inside, 0.0).to(tl.float32) + tl.load(m + there, inside, 0.0).to(tl.float32)
    tl.store(out + at, value, inside)


def shifted(hidden: Tensor, m: Tensor) -> Tensor:
    """hidden `[b, f, n, c]` + m `[n, f, c]`, or `[1, f, c]` for all positions; without gradients. PyTorch's sum of
    tensors in two layouts takes several times as long."""
    hidden, m = hidden.contiguous(), m.contiguous()
    out = torch.empty_like(hidden)
    _, frames, positions, channels = hidden.shape
    apart = frames if len(m) > 1 else 0  # rows from one position to the next
    grid = (triton.cdiv(hidden.numel(), BLOCK_SIZE),)
    _shift[grid](hidden, m, out, frames, positions, channels, apart, hidden.numel(), BLOCK_SIZE)
    return out
