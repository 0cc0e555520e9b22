"""GroupNorm with SiLU in channels-last memory: PyTorch's copies to channels-first, and keeps two tensors."""

# Triton is optional, and a kernel is indexed with its grid.
# pyright: reportMissingImports=false, reportIndexIssue=false
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

# Rows, columns and warps of a tile: large where every tile leaves sums behind, small where none does.
SUMS = (128, 32, 4)
VALUES = (16, 64, 2)
# Compiling for every value of these would cost seconds and gain nothing.
GENERAL = ("length", "tiles", "groups", "shift_stride", "silu")


@triton.jit(do_not_specialize=GENERAL)
def _tile_moments(x, shift, mean, square, length, channels, shift_stride, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Per tile and channel: the mean over its rows, and the sum of squared deviations from it."""
    sample, tile, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    row = tile * ROWS + tl.arange(0, ROWS)
    column = part * COLUMNS + tl.arange(0, COLUMNS)
    inside = (row < length)[:, None] & (column < channels)[None]
    start = x + sample.to(tl.int64) * length * channels
    value = tl.load(start + row[:, None] * channels + column[None], inside, 0.0).to(tl.float32)
    if shift_stride >= 0:
        value += tl.load(shift + sample * shift_stride + column, column < channels, 0.0).to(tl.float32)[None]
    count = tl.minimum(length - tile * ROWS, ROWS).to(tl.float32)
    centre = tl.sum(tl.where(inside, value, 0.0), 0) / count
    away = tl.where(inside, value - centre[None], 0.0)
    at = (sample * tl.num_programs(1) + tile) * channels + column
    tl.store(mean + at, centre, column < channels)
    tl.store(square + at, tl.sum(away * away, 0), column < channels)


@triton.jit(do_not_specialize=GENERAL)
def _group_moments(
    mean, square, out_mean, out_rstd, length, tiles, channels, groups, eps,
    ROWS: tl.constexpr, TILES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Mean and 1/√(variance + ε) per sample and group, from those of tiles (Chan et al. 1979)."""
    sample, group = tl.program_id(0), tl.program_id(1)
    width = channels // groups
    column = tl.arange(0, WIDTH)
    start = sample * tiles * channels + group * width
    total = tl.zeros([TILES, WIDTH], tl.float32)
    for first in range(0, tiles, TILES):
        tile = first + tl.arange(0, TILES)
        inside = (tile < tiles)[:, None] & (column < width)[None]
        count = tl.minimum(length - tile * ROWS, ROWS).to(tl.float32)[:, None]
        total += count * tl.load(mean + start + tile[:, None] * channels + column[None], inside, 0.0)
    number = length.to(tl.float32) * width
    centre = tl.sum(total) / number
    total = tl.zeros([TILES, WIDTH], tl.float32)
    for first in range(0, tiles, TILES):
        tile = first + tl.arange(0, TILES)
        inside = (tile < tiles)[:, None] & (column < width)[None]
        count = tl.minimum(length - tile * ROWS, ROWS).to(tl.float32)[:, None]
        away = tl.load(mean + start + tile[:, None] * channels + column[None], inside, centre) - centre
        total += tl.load(square + start + tile[:, None] * channels + column[None], inside, 0.0)
        total += tl.where(inside, count * away * away, 0.0)
    tl.store(out_mean + sample * groups + group, centre)
    tl.store(out_rstd + sample * groups + group, 1.0 / tl.sqrt(tl.sum(total) / number + eps))


@triton.jit
def _normalised(
    x, shift, weight, mean, rstd, sample, row, column, inside, length, channels, groups, shift_stride,
):  # fmt: skip
    """x̂ of a tile, the norm's weight, and its 1/σ, per channel."""
    start = sample.to(tl.int64) * length * channels
    known = column < channels
    value = tl.load(x + start + row[:, None] * channels + column[None], inside, 0.0).to(tl.float32)
    if shift_stride >= 0:
        value += tl.load(shift + sample * shift_stride + column, known, 0.0).to(tl.float32)[None]
    group = sample * groups + column // (channels // groups)
    scale = tl.load(rstd + group, known, 0.0)
    hat = (value - tl.load(mean + group, known, 0.0)[None]) * scale[None]
    return hat, tl.load(weight + column, known, 0.0).to(tl.float32), scale


@triton.jit(do_not_specialize=GENERAL)
def _apply(
    x, shift, weight, bias, mean, rstd, out, length, channels, groups, shift_stride, silu,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    sample, tile, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    row = tile * ROWS + tl.arange(0, ROWS)
    column = part * COLUMNS + tl.arange(0, COLUMNS)
    inside = (row < length)[:, None] & (column < channels)[None]
    hat, gain, _ = _normalised(
        x, shift, weight, mean, rstd, sample, row, column, inside, length, channels, groups, shift_stride
    )
    value = hat * gain[None] + tl.load(bias + column, column < channels, 0.0).to(tl.float32)[None]
    if silu:
        value = value * tl.sigmoid(value)
    start = sample.to(tl.int64) * length * channels
    tl.store(out + start + row[:, None] * channels + column[None], value, inside)


@triton.jit(do_not_specialize=GENERAL)
def _gradient(
    x, shift, weight, bias, mean, rstd, gradient, passed, of_sum, of_product, out,
    length, channels, groups, shift_stride, silu,
    SUMS: tl.constexpr, PASSED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """With g = ∂L/∂x̂: first the sums of g and g·x̂ per tile and channel (SUMS), then, those being means per group,
    ∂L/∂x = (g − mean(g) − x̂·mean(g·x̂)) / σ, and the gradient of x passed on (PASSED)."""
    sample, tile, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    row = tile * ROWS + tl.arange(0, ROWS)
    column = part * COLUMNS + tl.arange(0, COLUMNS)
    known = column < channels
    inside = (row < length)[:, None] & known[None]
    hat, gain, scale = _normalised(
        x, shift, weight, mean, rstd, sample, row, column, inside, length, channels, groups, shift_stride
    )
    at = sample.to(tl.int64) * length * channels + row[:, None] * channels + column[None]
    g = tl.load(gradient + at, inside, 0.0).to(tl.float32)
    if silu:
        value = hat * gain[None] + tl.load(bias + column, known, 0.0).to(tl.float32)[None]
        sigmoid = tl.sigmoid(value)
        g = g * sigmoid * (1 + value * (1 - sigmoid))
    g = g * gain[None]
    if SUMS:
        partial = (sample * tl.num_programs(1) + tile) * channels + column
        tl.store(of_sum + partial, tl.sum(g, 0), known)
        tl.store(of_product + partial, tl.sum(tl.where(inside, g * hat, 0.0), 0), known)
    else:
        group = sample * groups + column // (channels // groups)
        mean_g = tl.load(of_sum + group, known, 0.0)
        mean_product = tl.load(of_product + group, known, 0.0)
        total = (g - mean_g[None] - hat * mean_product[None]) * scale[None]
        if PASSED:
            total += tl.load(passed + at, inside, 0.0).to(tl.float32)
        tl.store(out + at, total, inside)


@triton.jit(do_not_specialize=GENERAL)
def _group_means(
    of_sum, of_product, mean_g, mean_product, length, tiles, channels, groups,
    TILES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    sample, group = tl.program_id(0), tl.program_id(1)
    width = channels // groups
    column = tl.arange(0, WIDTH)
    start = sample * tiles * channels + group * width
    first_total = tl.zeros([TILES, WIDTH], tl.float32)
    second_total = tl.zeros([TILES, WIDTH], tl.float32)
    for first in range(0, tiles, TILES):
        tile = first + tl.arange(0, TILES)
        inside = (tile < tiles)[:, None] & (column < width)[None]
        first_total += tl.load(of_sum + start + tile[:, None] * channels + column[None], inside, 0.0)
        second_total += tl.load(of_product + start + tile[:, None] * channels + column[None], inside, 0.0)
    number = length.to(tl.float32) * width
    tl.store(mean_g + sample * groups + group, tl.sum(first_total) / number)
    tl.store(mean_product + sample * groups + group, tl.sum(second_total) / number)


def _grid(tile: tuple[int, int, int], n: int, length: int, channels: int) -> tuple[int, int, int]:
    return n, triton.cdiv(length, tile[0]), triton.cdiv(channels, tile[1])


class _GroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        shift: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        groups: int,
        eps: float,
        silu: bool,
    ) -> tuple[Tensor, Tensor]:
        x = x.contiguous(memory_format=torch.channels_last)
        n, channels = x.shape[:2]
        length = x.shape[2] * x.shape[3]
        tiles = triton.cdiv(length, SUMS[0])
        # One shift for all samples has stride 0; no shift is told to the kernels by a negative one.
        stride = -1 if shift is None else (channels if len(shift) > 1 else 0)
        shift = weight if shift is None else shift.contiguous()
        partial = torch.empty(2, n, tiles, channels, device=x.device)
        mean, rstd = torch.empty(2, n, groups, device=x.device)
        out = torch.empty_like(x)
        grid, values = _grid(SUMS, n, length, channels), _grid(VALUES, n, length, channels)
        reduction = {"TILES": 64, "WIDTH": max(64, triton.next_power_of_2(channels // groups))}
        sizes = length, channels, groups, stride
        if not x.is_meta:
            _tile_moments[grid](x, shift, *partial, length, channels, stride, *SUMS[:2], num_warps=SUMS[2])
            _group_moments[n, groups](*partial, mean, rstd, length, tiles, channels, groups, eps, SUMS[0], **reduction)
            _apply[values](x, shift, weight, bias, mean, rstd, out, *sizes, int(silu), *VALUES[:2], num_warps=VALUES[2])
        ctx.save_for_backward(x, shift, mean, rstd)
        ctx.constants = weight, bias, int(silu), sizes, grid, values, reduction
        ctx.set_materialize_grads(False)
        return x, out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        x, shift, mean, rstd = ctx.saved_tensors
        weight, bias, silu, sizes, grid, values, reduction = ctx.constants
        passed, gradient = (None if g is None else g.contiguous(memory_format=torch.channels_last) for g in gradients)
        if gradient is None:
            return passed, None, None, None, None, None, None
        (length, channels, groups, _), (n, tiles, _) = sizes, grid
        partial = torch.empty(2, n, tiles, channels, device=x.device)
        means = torch.empty(2, n, groups, device=x.device)
        out = torch.empty_like(x)
        if not x.is_meta:
            given = x, shift, weight, bias, mean, rstd, gradient, gradient if passed is None else passed
            _gradient[grid](*given, *partial, out, *sizes, silu, True, False, *SUMS[:2], num_warps=SUMS[2])
            _group_means[n, groups](*partial, *means, length, tiles, channels, groups, **reduction)
            passing = passed is not None
            _gradient[values](*given, *means, out, *sizes, silu, False, passing, *VALUES[:2], num_warps=VALUES[2])
        return out, None, None, None, None, None, None


def group_norm(
    x: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor, groups: int, eps: float, silu: bool
) -> tuple[Tensor, Tensor]:
    """x `[n, c, h, w]` unchanged, and the GroupNorm of x + shift (`[n or 1, c]`), after it SiLU if asked for.

    Whoever adds the result of a branch to x takes x from here, so that both gradients are summed in one kernel. shift,
    weight and bias get none.
    """
    return _GroupNorm.apply(x, shift, weight, bias, groups, eps, silu)
