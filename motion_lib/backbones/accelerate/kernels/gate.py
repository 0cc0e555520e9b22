"""The gate of a GEGLU in one pass, keeping its input only."""

# Triton is optional, and a kernel is indexed with its grid.
# pyright: reportMissingImports=false, reportIndexIssue=false
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK_SIZE = 1024


@triton.jit
def _gelu_parts(b):
    """Φ(b) and b·φ(b): gelu(b) = b·Φ(b), its derivative is their sum."""
    cumulative = 0.5 * (1 + tl.erf(b * 0.7071067811865476))
    return cumulative, b * 0.3989422804014327 * tl.exp(-0.5 * b * b)


@triton.jit
def _gate(both, out, width, total, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < total
    first = at // width * 2 * width + at % width
    a = tl.load(both + first, inside, 0.0).to(tl.float32)
    b = tl.load(both + first + width, inside, 0.0).to(tl.float32)
    cumulative, _ = _gelu_parts(b)
    tl.store(out + at, a * b * cumulative, inside)


@triton.jit
def _gate_gradient(both, gradient, out, width, total, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < total
    first = at // width * 2 * width + at % width
    a = tl.load(both + first, inside, 0.0).to(tl.float32)
    b = tl.load(both + first + width, inside, 0.0).to(tl.float32)
    g = tl.load(gradient + at, inside, 0.0).to(tl.float32)
    cumulative, density = _gelu_parts(b)
    tl.store(out + first, g * b * cumulative, inside)
    tl.store(out + first + width, g * a * (cumulative + density), inside)


class _GatedGelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        both = both.contiguous()
        width = both.shape[-1] // 2
        out = both.new_empty(*both.shape[:-1], width)
        if not both.is_meta:
            _gate[(triton.cdiv(out.numel(), BLOCK_SIZE),)](both, out, width, out.numel(), BLOCK_SIZE)
        ctx.save_for_backward(both)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (both,) = ctx.saved_tensors
        gradient, out = gradients[0].contiguous(), torch.empty_like(both)
        grid = (triton.cdiv(gradient.numel(), BLOCK_SIZE),)
        if not both.is_meta:
            _gate_gradient[grid](both, gradient, out, gradient.shape[-1], gradient.numel(), BLOCK_SIZE)
        return out


def gated_gelu(both: Tensor) -> Tensor:
    """a · gelu(b) of `[…, 2c]` = [a, b]; keeps its input only."""
    return _GatedGelu.apply(both)
