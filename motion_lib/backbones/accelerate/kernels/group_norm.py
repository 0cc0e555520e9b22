"""GroupNorm with SiLU in channels-last memory: PyTorch's copies to channels-first, and keeps two tensors.

A program takes a tile of rows and 64 columns of one sample, a few rows at a time, so that what belongs to its channels
is read once. On an H200 instructions are the limit rather than memory: a value is normalised by one multiplication and
addition, and its sigmoid is four instructions.
"""

# Triton is optional, and a kernel is indexed with its grid.
# pyright: reportMissingImports=false, reportIndexIssue=false
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .sigmoid import sigmoid

# Rows of a tile, how many at a time, columns, and warps.
MOMENTS = (64, 8, 64, 1)
APPLY = (32, 16, 64, 2)
GRADIENT = (32, 8, 64, 1)
SUMMED = 2048  # sums of tiles that one step of a group's sum holds
# Compiling for every value of these would cost seconds and gain nothing.
GENERAL = ("length", "tiles", "groups", "shift_stride", "silu")


@triton.jit
def _place(channels, COLUMNS: tl.constexpr):
    """Sample, tile and columns of a program; programs for neighbouring columns of the same rows run together."""
    parts = tl.cdiv(channels, COLUMNS)
    return tl.program_id(1), tl.program_id(0) // parts, tl.program_id(0) % parts * COLUMNS + tl.arange(0, COLUMNS)


@triton.jit(do_not_specialize=GENERAL)
def _tile_moments(
    x, mean, square, length, tiles, channels, ROWS: tl.constexpr, STEP: tl.constexpr, COLUMNS: tl.constexpr
):
    """Per tile and channel: the mean of x over its rows, and the sum of squared deviations from it. Sums are taken of
    what rows differ from the first one, so that a large mean costs no precision."""
    sample, tile, column = _place(channels, COLUMNS)
    known = column < channels
    start, first = x + sample.to(tl.int64) * length * channels, tile * ROWS
    pivot = tl.load(start + first * channels + column, known, 0.0).to(tl.float32)
    total = tl.zeros([STEP, COLUMNS], tl.float32)
    squares = tl.zeros([STEP, COLUMNS], tl.float32)
    for begin in tl.static_range(0, ROWS, STEP):
        row = first + begin + tl.arange(0, STEP)
        inside = (row < length)[:, None] & known[None]
        value = tl.load(start + row[:, None] * channels + column[None], inside, 0.0).to(tl.float32)
        away = tl.where(inside, value - pivot[None], 0.0)
        total += away
        squares += away * away
    count = tl.minimum(length - first, ROWS).to(tl.float32)
    centre = tl.sum(total, 0) / count
    at = (sample * tiles + tile) * channels + column
    tl.store(mean + at, pivot + centre, known)
    tl.store(square + at, tl.maximum(tl.sum(squares, 0) - count * centre * centre, 0.0), known)


@triton.jit(do_not_specialize=GENERAL)
def _group_moments(
    mean, square, shift, out_mean, out_rstd, length, tiles, channels, groups, eps, shift_stride,
    ROWS: tl.constexpr, TILES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Mean and 1/√(variance + ε) of x + shift per sample and group, from the moments of tiles (Chan et al. 1979)."""
    sample, group = tl.program_id(1), tl.program_id(0)
    width = channels // groups
    column = tl.arange(0, WIDTH)
    known = column < width
    moved = tl.zeros([WIDTH], tl.float32)
    if shift_stride >= 0:
        moved += tl.load(shift + sample * shift_stride + group * width + column, known, 0.0).to(tl.float32)
    start = sample * tiles * channels + group * width
    pivot = tl.load(mean + start + column, known, 0.0) + moved
    pivot = tl.sum(tl.where(known, pivot, 0.0)) / width
    total = tl.zeros([TILES, WIDTH], tl.float32)
    squares = tl.zeros([TILES, WIDTH], tl.float32)
    for first in range(0, tiles, TILES):
        tile = first + tl.arange(0, TILES)
        inside = (tile < tiles)[:, None] & known[None]
        at = start + tile[:, None] * channels + column[None]
        count = tl.where(inside, tl.minimum(length - tile * ROWS, ROWS).to(tl.float32)[:, None], 0.0)
        away = tl.load(mean + at, inside, 0.0) + (moved - pivot)[None]
        total += count * away
        squares += tl.load(square + at, inside, 0.0) + count * away * away
    number = length.to(tl.float32) * width
    centre = tl.sum(total) / number
    variance = tl.maximum(tl.sum(squares) / number - centre * centre, 0.0)
    tl.store(out_mean + sample * groups + group, pivot + centre)
    tl.store(out_rstd + sample * groups + group, 1.0 / tl.sqrt(variance + eps))


@triton.jit
def _channels(shift, weight, bias, mean, rstd, sample, column, known, channels, groups, shift_stride):
    """a, b, gain and bias of each channel: x̂ = a·x + b, normed = gain·x̂ + bias."""
    group = sample * groups + column // (channels // groups)
    scale, off = tl.load(rstd + group, known, 0.0), -tl.load(mean + group, known, 0.0)
    if shift_stride >= 0:
        off += tl.load(shift + sample * shift_stride + column, known, 0.0).to(tl.float32)
    gain, add = tl.load(weight + column, known, 0.0), tl.load(bias + column, known, 0.0)
    return scale, off * scale, gain.to(tl.float32), add.to(tl.float32)


@triton.jit(do_not_specialize=GENERAL)
def _apply(
    x, shift, weight, bias, mean, rstd, out, length, channels, groups, shift_stride, silu,
    ROWS: tl.constexpr, STEP: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    sample, tile, column = _place(channels, COLUMNS)
    known = column < channels
    a, b, gain, add = _channels(shift, weight, bias, mean, rstd, sample, column, known, channels, groups, shift_stride)
    a, b = a * gain, b * gain + add
    start = sample.to(tl.int64) * length * channels
    x, out = x + start, out + start
    for begin in tl.static_range(0, ROWS, STEP):
        row = tile * ROWS + begin + tl.arange(0, STEP)
        inside = (row < length)[:, None] & known[None]
        at = row[:, None] * channels + column[None]
        value = tl.load(x + at, inside, 0.0).to(tl.float32) * a[None] + b[None]
        if silu:
            value = value * sigmoid(value)
        tl.store(out + at, value, inside)


@triton.jit
def _step_back(x, gradient, at, inside, a, b, gain, add, silu):
    """x̂ and the gradient of the norm without its gain, at some rows."""
    hat = tl.load(x + at, inside, 0.0).to(tl.float32) * a[None] + b[None]
    g = tl.load(gradient + at, inside, 0.0).to(tl.float32)
    if silu:
        value = hat * gain[None] + add[None]
        s = sigmoid(value)
        g = g * (s + s * (value - value * s))
    return hat, g


@triton.jit(do_not_specialize=GENERAL)
def _tile_sums(
    x, shift, weight, bias, mean, rstd, gradient, of_gradient, of_product,
    length, tiles, channels, groups, shift_stride, silu,
    ROWS: tl.constexpr, STEP: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Per tile and channel the sums of g = ∂L/∂x̂ and of g·x̂."""
    sample, tile, column = _place(channels, COLUMNS)
    known = column < channels
    a, b, gain, add = _channels(shift, weight, bias, mean, rstd, sample, column, known, channels, groups, shift_stride)
    start = sample.to(tl.int64) * length * channels
    x, gradient = x + start, gradient + start
    total = tl.zeros([STEP, COLUMNS], tl.float32)
    product = tl.zeros([STEP, COLUMNS], tl.float32)
    for begin in tl.static_range(0, ROWS, STEP):
        row = tile * ROWS + begin + tl.arange(0, STEP)
        inside = (row < length)[:, None] & known[None]
        at = row[:, None] * channels + column[None]
        hat, g = _step_back(x, gradient, at, inside, a, b, gain, add, silu)
        total += g  # 0 outside, where the gradient was read as 0
        product += g * hat
    at = (sample * tiles + tile) * channels + column
    tl.store(of_gradient + at, tl.sum(total, 0) * gain, known)
    tl.store(of_product + at, tl.sum(product, 0) * gain, known)


@triton.jit(do_not_specialize=GENERAL)
def _group_means(
    of_gradient, of_product, mean_gradient, mean_product, length, tiles, channels, groups,
    TILES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    sample, group = tl.program_id(1), tl.program_id(0)
    width = channels // groups
    column = tl.arange(0, WIDTH)
    start = sample * tiles * channels + group * width
    total = tl.zeros([TILES, WIDTH], tl.float32)
    product = tl.zeros([TILES, WIDTH], tl.float32)
    for first in range(0, tiles, TILES):
        tile = first + tl.arange(0, TILES)
        inside = (tile < tiles)[:, None] & (column < width)[None]
        at = start + tile[:, None] * channels + column[None]
        total += tl.load(of_gradient + at, inside, 0.0)
        product += tl.load(of_product + at, inside, 0.0)
    number = length.to(tl.float32) * width
    tl.store(mean_gradient + sample * groups + group, tl.sum(total) / number)
    tl.store(mean_product + sample * groups + group, tl.sum(product) / number)


@triton.jit(do_not_specialize=GENERAL)
def _gradient(
    x, shift, weight, bias, mean, rstd, gradient, passed, mean_gradient, mean_product, out,
    length, channels, groups, shift_stride, silu,
    PASSED: tl.constexpr, ROWS: tl.constexpr, STEP: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """∂L/∂x = (g − mean(g) − x̂·mean(g·x̂)) / σ, means over a group, and the gradient of x passed on (PASSED)."""
    sample, tile, column = _place(channels, COLUMNS)
    known = column < channels
    a, b, gain, add = _channels(shift, weight, bias, mean, rstd, sample, column, known, channels, groups, shift_stride)
    group = sample * groups + column // (channels // groups)
    of_one, of_hat = -a * tl.load(mean_gradient + group, known, 0.0), -a * tl.load(mean_product + group, known, 0.0)
    of_gradient = gain * a
    start = sample.to(tl.int64) * length * channels
    x, gradient, passed, out = x + start, gradient + start, passed + start, out + start
    for begin in tl.static_range(0, ROWS, STEP):
        row = tile * ROWS + begin + tl.arange(0, STEP)
        inside = (row < length)[:, None] & known[None]
        at = row[:, None] * channels + column[None]
        hat, g = _step_back(x, gradient, at, inside, a, b, gain, add, silu)
        total = g * of_gradient[None] + (hat * of_hat[None] + of_one[None])
        if PASSED:
            total += tl.load(passed + at, inside, 0.0).to(tl.float32)
        tl.store(out + at, total, inside)


def _tiles(shape: tuple[int, int, int, int], length: int) -> int:
    return triton.cdiv(length, shape[0])


def _grid(shape: tuple[int, int, int, int], n: int, length: int, channels: int) -> tuple[int, int]:
    return _tiles(shape, length) * triton.cdiv(channels, shape[2]), n


def _reduction(tiles: int, width: int) -> dict[str, int]:
    width = triton.next_power_of_2(width)
    return {"TILES": max(1, min(triton.next_power_of_2(tiles), SUMMED // width)), "WIDTH": width}


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
        # One shift for all samples has stride 0; no shift is told to the kernels by a negative one.
        stride = -1 if shift is None else (channels if len(shift) > 1 else 0)
        shift = weight if shift is None else shift.contiguous()
        tiles = _tiles(MOMENTS, length)
        partial = torch.empty(2, n, tiles, channels, device=x.device)
        mean, rstd = torch.empty(2, n, groups, device=x.device)
        out = torch.empty_like(x)
        sizes = length, channels, groups, stride, int(silu)
        if not x.is_meta:
            *tile, warps = MOMENTS
            _tile_moments[_grid(MOMENTS, n, length, channels)](
                x, *partial, length, tiles, channels, *tile, num_warps=warps
            )
            _group_moments[groups, n](
                *partial, shift, mean, rstd, length, tiles, channels, groups, eps, stride,
                tile[0], **_reduction(tiles, channels // groups),
            )  # fmt: skip
            *tile, warps = APPLY
            _apply[_grid(APPLY, n, length, channels)](
                x, shift, weight, bias, mean, rstd, out, *sizes, *tile, num_warps=warps
            )
        ctx.save_for_backward(x, shift, mean, rstd)
        ctx.constants = weight, bias, sizes
        ctx.set_materialize_grads(False)
        return x, out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        x, shift, mean, rstd = ctx.saved_tensors
        weight, bias, sizes = ctx.constants
        passed, gradient = (None if g is None else g.contiguous(memory_format=torch.channels_last) for g in gradients)
        if gradient is None:
            return passed, None, None, None, None, None, None
        (length, channels, groups, *_), n = sizes, len(x)
        tiles, grid = _tiles(GRADIENT, length), _grid(GRADIENT, n, length, channels)
        partial = torch.empty(2, n, tiles, channels, device=x.device)
        means = torch.empty(2, n, groups, device=x.device)
        out = torch.empty_like(x)
        if not x.is_meta:
            *tile, warps = GRADIENT
            given = x, shift, weight, bias, mean, rstd, gradient
            _tile_sums[grid](*given, *partial, length, tiles, *sizes[1:], *tile, num_warps=warps)
            _group_means[groups, n](
                *partial, *means, length, tiles, channels, groups, **_reduction(tiles, channels // groups)
            )
            passing = gradient if passed is None else passed
            _gradient[grid](*given, passing, *means, out, *sizes, passed is not None, *tile, num_warps=warps)
        return out, None, None, None, None, None, None


def group_norm(
    x: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor, groups: int, eps: float, silu: bool
) -> tuple[Tensor, Tensor]:
    """x `[n, c, h, w]` unchanged, and the GroupNorm of x + shift (`[n or 1, c]`), after it SiLU if asked for.

    Whoever adds the result of a branch to x takes x from here, so that both gradients are summed in one kernel. shift,
    weight and bias get none.
    """
    return _GroupNorm.apply(x, shift, weight, bias, groups, eps, silu)
