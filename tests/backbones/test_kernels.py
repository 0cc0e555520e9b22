"""The Triton kernels against PyTorch in float64: on a GPU, or with TRITON_INTERPRET=1 in Triton's interpreter."""

from __future__ import annotations

import importlib.util
import os

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.tiny import randn

if importlib.util.find_spec("triton") is None:
    pytest.skip("needs Triton", allow_module_level=True)
if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)

from motion_lib.backbones.accelerate.kernels.add import add_layer_norm, add_with_bias
from motion_lib.backbones.accelerate.kernels.attention import short_attention
from motion_lib.backbones.accelerate.kernels.gate import gated_gelu
from motion_lib.backbones.accelerate.kernels.group_norm import group_norm
from motion_lib.backbones.accelerate.kernels.shift import shifted

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def compare(ours, theirs, inputs: list[Tensor], dtype: torch.dtype, tolerance: float) -> None:
    """Values and gradients, as ‖ours − theirs‖ / ‖theirs‖ with theirs in float64."""
    results = []
    for function, kind in ((ours, dtype), (theirs, torch.float64)):
        leaves = [x.to(DEVICE, kind).detach().requires_grad_() for x in inputs]
        out = function(*leaves)
        weights = randn(*out.shape, seed=9).to(DEVICE, dtype).to(kind)
        (out * weights).sum().backward()
        results.append([out, *(leaf.grad for leaf in leaves)])
    for a, b in zip(*results, strict=True):
        assert a.shape == b.shape
        assert float((a.double() - b).detach().norm() / b.detach().norm()) < tolerance


@pytest.mark.parametrize(("silu", "fork"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("shifted", [None, "each", "one"])
@pytest.mark.parametrize(("n", "c", "h", "w", "groups"), [(2, 8, 3, 5, 4), (1, 96, 13, 21, 32), (3, 130, 1, 200, 2)])
def test_group_norm(silu: bool, fork: bool, shifted: str | None, n: int, c: int, h: int, w: int, groups: int) -> None:
    weight, bias = 1 + 0.3 * randn(c, seed=1), randn(c, seed=2)
    shift = None if shifted is None else 5 * randn(n if shifted == "each" else 1, c, seed=3)

    def on(tensor: Tensor | None, like: Tensor) -> Tensor | None:
        return None if tensor is None else tensor.to(like)

    def ours(x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        passed, y = group_norm(x, on(shift, x), on(weight, x), on(bias, x), groups, 1e-5, silu)
        return y + 0.3 * passed if fork else y

    def theirs(x: Tensor) -> Tensor:
        moved = x if shift is None else x + on(shift, x)[:, :, None, None]
        y = F.group_norm(moved, groups, on(weight, x), on(bias, x), 1e-5)
        y = F.silu(y) if silu else y
        return y + 0.3 * x if fork else y

    compare(ours, theirs, [20 + 3 * randn(n, c, h, w)], torch.float32, 1e-4)


def test_group_norm_of_values_far_from_zero() -> None:
    """Means a thousand times the deviation, and channels of a group a hundred apart."""
    apart = 1000 + 100 * (torch.arange(16) % 2)[:, None, None]

    def ours(x: Tensor) -> Tensor:
        x = (x + apart.to(x)).contiguous(memory_format=torch.channels_last)
        return group_norm(x, None, torch.ones(16).to(x), torch.zeros(16).to(x), 8, 1e-5, False)[1]

    def theirs(x: Tensor) -> Tensor:
        return F.group_norm(x + apart.to(x), 8, eps=1e-5)

    compare(ours, theirs, [randn(2, 16, 11, 13, seed=4)], torch.float32, 2e-3)


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("fork", [False, True])
@pytest.mark.parametrize(("rows", "c"), [(3, 20), (37, 320)])
def test_add_layer_norm(added: bool, fork: bool, rows: int, c: int) -> None:
    weight, bias = 1 + 0.3 * randn(c, seed=1), randn(c, seed=2)

    def ours(x: Tensor, y: Tensor) -> Tensor:
        total, normed = add_layer_norm(x, y if added else None, weight.to(x), bias.to(x), 1e-5)
        return torch.cat([normed, 0.1 * total, y]) if fork else torch.cat([normed, y])

    def theirs(x: Tensor, y: Tensor) -> Tensor:
        total = x + y if added else x
        normed = F.layer_norm(total, (c,), weight.to(x), bias.to(x), 1e-5)
        return torch.cat([normed, 0.1 * total, y]) if fork else torch.cat([normed, y])

    compare(ours, theirs, [10 + randn(2, rows, c), 3 * randn(2, rows, c, seed=5)], torch.float32, 1e-4)


def test_add_with_bias() -> None:
    inputs = [randn(2, 6, 31, 40), randn(2, 6, 31, 40, seed=1)]
    bias = randn(6, seed=2).to(DEVICE)
    compare(
        lambda x, y: add_with_bias(x, y, bias.to(x)), lambda x, y: x + y + bias.to(x)[:, None, None], inputs,
        torch.float32, 1e-6,
    )  # fmt: skip


def test_gated_gelu() -> None:
    def theirs(both: Tensor) -> Tensor:
        a, b = both.chunk(2, dim=-1)
        return a * F.gelu(b)

    compare(gated_gelu, theirs, [2 * randn(3, 7, 2 * 300)], torch.float32, 1e-5)


@pytest.mark.parametrize(("videos", "frames", "heads", "width"), [(1, 16, 2, 16), (2, 3, 3, 32), (1, 24, 1, 64)])
def test_short_attention(videos: int, frames: int, heads: int, width: int) -> None:
    def theirs(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (x.unflatten(-1, (heads, width)).permute(0, 2, 3, 1, 4) for x in (q, k, v))
        weights = torch.softmax(q @ k.transpose(-1, -2) * width**-0.5, dim=-1)
        return (weights @ v).permute(0, 3, 1, 2, 4).flatten(3)

    inputs = [2 * randn(videos, frames, 5, heads * width, seed=i) for i in range(3)]
    compare(lambda q, k, v: short_attention(q, k, v, heads), theirs, inputs, torch.float16, 5e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("b", "f", "n", "c"), [(1, 1, 1, 1), (2, 5, 7, 40), (3, 16, 160, 24)])
@pytest.mark.parametrize("everywhere", [False, True])
def test_shifted(dtype: torch.dtype, b: int, f: int, n: int, c: int, everywhere: bool) -> None:
    """Bit for bit PyTorch's, whatever the layout of its inputs."""
    hidden = randn(b, n, f, c, seed=1).to(DEVICE, dtype).transpose(1, 2)
    m = randn(f, 1 if everywhere else n, c, seed=2).to(DEVICE, dtype).transpose(0, 1)
    assert torch.equal(shifted(hidden, m), hidden + m.transpose(0, 1))
