"""Sums of a residual stream, joined with what reads them next."""

# Triton is optional, and a kernel is indexed with its grid.
# pyright: reportMissingImports=false, reportIndexIssue=false
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK_SIZE = 2048
TILE, WARPS = 2048, 2  # values of rows that one program of the norm holds


@triton.jit
def _sum(x, y, bias, out, channels, total, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < total
    value = tl.load(x + at, inside, 0.0).to(tl.float32) + tl.load(y + at, inside, 0.0).to(tl.float32)
    value += tl.load(bias + at % channels, inside, 0.0).to(tl.float32)
    tl.store(out + at, value, inside)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, bias: Tensor) -> Tensor:
        x, y = (z.contiguous(memory_format=torch.channels_last) for z in (x, y))
        out = torch.empty_like(x)
        if not x.is_meta:
            grid = (triton.cdiv(x.numel(), BLOCK_SIZE),)
            _sum[grid](x, y, bias, out, x.shape[1], x.numel(), BLOCK_SIZE)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0], gradients[0], None


def add_with_bias(x: Tensor, y: Tensor, bias: Tensor) -> Tensor:
    """x + y + bias, `[n, c, h, w]` twice and `[c]`."""
    return _Sum.apply(x, y, bias)


@triton.jit(do_not_specialize=("rows", "add"))
def _add_norm(x, y, weight, bias, total, out, rows, channels, eps, add, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    known = column < channels
    inside = (row < rows)[:, None] & known[None]
    at = row.to(tl.int64)[:, None] * channels + column[None]
    value = tl.load(x + at, inside, 0.0)
    if add:
        value = (value.to(tl.float32) + tl.load(y + at, inside, 0.0).to(tl.float32)).to(value.dtype)
        tl.store(total + at, value, inside)
    value = value.to(tl.float32)
    away = tl.where(inside, value - (tl.sum(value, 1) / channels)[:, None], 0.0)
    hat = away / tl.sqrt(tl.sum(away * away, 1) / channels + eps)[:, None]
    gain, shift = tl.load(weight + column, known, 0.0), tl.load(bias + column, known, 0.0)
    tl.store(out + at, hat * gain.to(tl.float32)[None] + shift.to(tl.float32)[None], inside)


@triton.jit(do_not_specialize=("rows", "add_passed"))
def _add_norm_gradient(
    total, weight, passed, gradient, out, rows, channels, eps, add_passed,
    ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    known = column < channels
    inside = (row < rows)[:, None] & known[None]
    at = row.to(tl.int64)[:, None] * channels + column[None]
    value = tl.load(total + at, inside, 0.0).to(tl.float32)
    away = tl.where(inside, value - (tl.sum(value, 1) / channels)[:, None], 0.0)
    scale = 1 / tl.sqrt(tl.sum(away * away, 1) / channels + eps)
    hat = away * scale[:, None]
    g = tl.load(gradient + at, inside, 0.0).to(tl.float32) * tl.load(weight + column, known, 0.0).to(tl.float32)[None]
    g_mean, product_mean = tl.sum(g, 1) / channels, tl.sum(g * hat, 1) / channels
    g = (g - g_mean[:, None] - hat * product_mean[:, None]) * scale[:, None]
    if add_passed:
        g += tl.load(passed + at, inside, 0.0).to(tl.float32)
    tl.store(out + at, g, inside)


class _AddNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor | None, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor]:
        x = x.contiguous()
        channels = x.shape[-1]
        rows, width = x.numel() // channels, triton.next_power_of_2(channels)
        per_program = max(1, TILE // width)
        ctx.grid, ctx.sizes = (triton.cdiv(rows, per_program),), (rows, channels, eps)
        ctx.tile, ctx.added, ctx.weight = (per_program, width), y is not None, weight
        total, out = x if y is None else torch.empty_like(x), torch.empty_like(x)
        if not x.is_meta:
            other = x if y is None else y.contiguous()
            _add_norm[ctx.grid](
                x, other, weight, bias, total, out, *ctx.sizes, int(ctx.added), *ctx.tile, num_warps=WARPS
            )
        ctx.save_for_backward(total)
        ctx.set_materialize_grads(False)
        return total, out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        (total,) = ctx.saved_tensors
        passed, gradient = (None if g is None else g.contiguous() for g in gradients)
        if gradient is None:
            return passed, passed if ctx.added else None, None, None, None
        out = torch.empty_like(total)
        if not total.is_meta:
            given = total, ctx.weight, gradient if passed is None else passed, gradient, out
            _add_norm_gradient[ctx.grid](*given, *ctx.sizes, int(passed is not None), *ctx.tile, num_warps=WARPS)
        return out, out if ctx.added else None, None, None, None


def add_layer_norm(x: Tensor, y: Tensor | None, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x + y, `[…, c]` (x unchanged if y is None), and its LayerNorm; only the sum is kept. weight and bias get no
    gradient."""
    return _AddNorm.apply(x, y, weight, bias, eps)
