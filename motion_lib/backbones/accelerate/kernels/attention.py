"""Attention over a few frames: that of PyTorch works in tiles of 128 rows, most of which would be empty."""

# Triton is optional, and a kernel is indexed with its grid.
# pyright: reportMissingImports=false, reportIndexIssue=false
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

LONGEST = 64  # frames that fit into registers


@triton.jit
def _probabilities(q, k, length, scale, FRAMES: tl.constexpr):
    frame = tl.arange(0, FRAMES)
    scores = tl.dot(q, tl.trans(k)) * scale
    scores = tl.where((frame < length)[None], scores, float("-inf"))
    powers = tl.exp(scores - tl.max(scores, 1)[:, None])
    return powers / tl.sum(powers, 1)[:, None]


@triton.jit
def _attend(q, k, v, out, length, positions, channels, scale, FRAMES: tl.constexpr, WIDTH: tl.constexpr):
    """One position and head of `[b, f, n, c]`."""
    video, position, head = tl.program_id(2).to(tl.int64), tl.program_id(1), tl.program_id(0)
    frame, column = tl.arange(0, FRAMES), tl.arange(0, WIDTH)
    at = ((video * length + frame) * positions + position)[:, None] * channels + head * WIDTH + column[None]
    inside = (frame < length)[:, None]
    key, value = tl.load(k + at, inside, 0.0), tl.load(v + at, inside, 0.0)
    weights = _probabilities(tl.load(q + at, inside, 0.0), key, length, scale, FRAMES)
    tl.store(out + at, tl.dot(weights.to(value.dtype), value), inside)


@triton.jit
def _attend_gradient(
    q, k, v, gradient, dq, dk, dv, length, positions, channels, scale, FRAMES: tl.constexpr, WIDTH: tl.constexpr
):
    video, position, head = tl.program_id(2).to(tl.int64), tl.program_id(1), tl.program_id(0)
    frame, column = tl.arange(0, FRAMES), tl.arange(0, WIDTH)
    at = ((video * length + frame) * positions + position)[:, None] * channels + head * WIDTH + column[None]
    inside = (frame < length)[:, None]
    query, key, value = tl.load(q + at, inside, 0.0), tl.load(k + at, inside, 0.0), tl.load(v + at, inside, 0.0)
    g = tl.load(gradient + at, inside, 0.0)
    weights = _probabilities(query, key, length, scale, FRAMES)
    tl.store(dv + at, tl.dot(tl.trans(weights.to(g.dtype)), g), inside)
    of_weights = tl.dot(g, tl.trans(value))
    of_scores = weights * (of_weights - tl.sum(weights * of_weights, 1)[:, None]) * scale
    of_scores = of_scores.to(query.dtype)
    tl.store(dq + at, tl.dot(of_scores, key), inside)
    tl.store(dk + at, tl.dot(tl.trans(of_scores), query), inside)


class _ShortAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        videos, length, positions, channels = q.shape
        ctx.grid, out = (heads, positions, videos), torch.empty_like(q)
        ctx.sizes = length, positions, channels, (channels // heads) ** -0.5, max(16, triton.next_power_of_2(length))
        if not q.is_meta:
            _attend[ctx.grid](q, k, v, out, *ctx.sizes, channels // heads, num_warps=ctx.sizes[-1] // 16)
        ctx.save_for_backward(q, k, v)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        q, k, v = ctx.saved_tensors
        gradient, dq, dk, dv = gradients[0].contiguous(), *(torch.empty_like(x) for x in (q, k, v))
        if not q.is_meta:
            given = q, k, v, gradient, dq, dk, dv
            _attend_gradient[ctx.grid](*given, *ctx.sizes, q.shape[-1] // ctx.grid[0], num_warps=ctx.sizes[-1] // 16)
        return dq, dk, dv, None


def short_enough(q: Tensor, heads: int) -> bool:
    """Does short_attention suit `[b, f, n, c]`? float32 is left to PyTorch, because Triton would round it to tf32."""
    width = q.shape[-1] // heads
    return q.dtype != torch.float32 and q.shape[1] <= LONGEST and width in (16, 32, 64, 128)


def short_attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Self-attention over f of `[b, f, n, c]`, each position by itself; weights are computed again in the backward."""
    return _ShortAttention.apply(q, k, v, heads)
