"""Layers of a frozen model as training wants them: nothing is kept for gradients of weights, nothing is copied.

Values are PyTorch's own within rounding. On a GPU with Triton, kernels of ours do what is bound by memory; elsewhere
PyTorch's operations do the same. Where a layer is not a plain frozen one (a LoRA on it, a hook, another library's class
that casts weights) it is simply called.
"""

from __future__ import annotations

import importlib.util
import logging
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...method.integration import INTEGRATIONS, concatenate
from ...method.integration import add as add_motion

SUMS = (add_motion, concatenate)  # F + m
TRITON = importlib.util.find_spec("triton") is not None

if TRITON:
    try:
        from .kernels.add import add_layer_norm, add_with_bias
        from .kernels.attention import short_attention, short_enough
        from .kernels.gate import gated_gelu
        from .kernels.group_norm import group_norm
        from .kernels.shift import shifted
    except Exception as error:  # an installation that is broken, or of another system
        logging.getLogger(__name__).warning("Triton is installed, but cannot be imported (%s).", error)
        TRITON = False


def plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether calling the module is the same as using its weights, and these do not learn. A class of somebody else's
    that is so at times says when by a method `acts_as_its_base`."""
    if type(module) is not kind and not (isinstance(module, kind) and getattr(module, "acts_as_its_base", bool)()):
        return False
    if module._forward_hooks or module._forward_pre_hooks:
        return False
    return not any(p.requires_grad for p in module.parameters(recurse=False))


@lru_cache
def kernels_run(device: torch.device) -> bool:
    """Whether the kernels run on a GPU, found by running one: Triton needs a C compiler, and a GPU that it knows."""
    if not TRITON:
        return False
    try:
        with torch.cuda.device(device):
            gated_gelu(torch.zeros(1, 64, dtype=torch.float16, device=device))
    except torch.cuda.OutOfMemoryError:  # which says nothing of kernels; whoever frees memory next can run them
        return True
    except Exception as error:  # whatever compilers and drivers raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        logging.getLogger(__name__).warning(
            "Triton's kernels do not run on %s (%s): PyTorch's operations do their work, which takes longer. Compiling "
            "them needs a C compiler.",
            device,
            reason,
        )
        return False
    return True


def _on_triton(x: Tensor) -> bool:
    """Tensors without data take the same way, so that its memory can be counted (estimate.py)."""
    if x.is_meta:
        return TRITON and (not torch.cuda.is_available() or kernels_run(torch.device("cuda")))
    return x.is_cuda and kernels_run(x.device)


class _Convolution(torch.autograd.Function):
    """conv2d without bias. PyTorch's keeps its input even when only the gradient of the input is asked for."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Any, padding: Any) -> Tensor:
        ctx.weight, ctx.stride, ctx.padding, ctx.shape = weight, stride, padding, x.shape
        return F.conv2d(x, weight, None, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        # Its shape and layout are read, its values are not.
        like = torch.empty(ctx.shape, dtype=gradient.dtype, device=gradient.device, memory_format=torch.channels_last)
        of_input, _, _ = torch.ops.aten.convolution_backward(
            gradient, like, ctx.weight, None, ctx.stride, ctx.padding, (1, 1), False, (0, 0), 1, (True, False, False)
        )
        return of_input, None, None, None


class _Projections(torch.autograd.Function):
    """x·W1ᵀ, x·W2ᵀ, …: the gradients are summed by the products themselves."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.weights = weights
        return tuple(F.linear(x, weight) for weight in weights)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        flat = [g.reshape(-1, g.shape[-1]) for g in gradients]
        total = flat[0] @ ctx.weights[0]
        for gradient, weight in zip(flat[1:], ctx.weights[1:], strict=True):
            total.addmm_(gradient, weight)
        return total.view(*gradients[0].shape[:-1], -1), *(None for _ in ctx.weights)


def convolve(layer: Any, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """A Conv2d, or a 3×1×1 Conv3d over `[b, c, f, h·w]`, without its bias, and the bias that is still to be added."""
    if plain(layer, nn.Conv3d):
        return _Convolution.apply(x, layer.weight.squeeze(-1), (1, 1), (1, 0)), layer.bias
    if plain(layer, nn.Conv2d) and layer.padding_mode == "zeros" and layer.groups == 1 and layer.dilation == (1, 1):
        return _Convolution.apply(x, layer.weight, layer.stride, layer.padding), layer.bias
    if isinstance(layer, nn.Conv3d):
        return layer(x.unsqueeze(-1)).squeeze(-1), None
    return layer(x), None


def add_bias(x: Tensor, bias: Tensor | None) -> Tensor:
    """To the channels of `[n, c, h, w]`."""
    return x if bias is None else x + bias[:, None, None]


def add(x: Tensor, y: Tensor, bias: Tensor | None) -> Tensor:
    """x + y + bias, `[n, c, h, w]` twice and `[c]`."""
    if bias is not None and _on_triton(x):
        return add_with_bias(x, y, bias)
    return x + add_bias(y, bias)


def normalise(norm: nn.GroupNorm, x: Tensor, shift: Tensor | None = None, silu: bool = False) -> tuple[Tensor, Tensor]:
    """x `[n, c, h, w]` for whoever adds to it later, and the GroupNorm of x + shift (`[n or 1, c]`), after it SiLU if
    asked for."""
    if _on_triton(x) and plain(norm, nn.GroupNorm) and not (shift is not None and shift.requires_grad):
        return group_norm(x, shift, norm.weight, norm.bias, norm.num_groups, norm.eps, silu)
    y = norm(x if shift is None else x + shift[:, :, None, None])
    return x, F.silu(y) if silu else y


def add_normalise(norm: nn.LayerNorm, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
    """x + y `[…, c]`, or x if y is None, and the LayerNorm of it."""
    if _on_triton(x) and plain(norm, nn.LayerNorm):
        return add_layer_norm(x, y, norm.weight, norm.bias, norm.eps)
    total = x if y is None else x + y
    return total, norm(total)


def project(layers: tuple[Any, ...], x: Tensor) -> tuple[Tensor, ...]:
    """Every Linear of `layers` over x `[…, c]`."""
    if all(plain(layer, nn.Linear) and layer.bias is None for layer in layers):
        return _Projections.apply(x, *(layer.weight for layer in layers))
    return tuple(layer(x) for layer in layers)


def join(integration: str, hidden: Tensor, m: Tensor) -> Tensor:
    """What a patch makes of `[b, f, n, c]`; m is `[1, f, c]`, or `[n, f, c]` for all videos or for each."""
    learning = torch.is_grad_enabled() and (hidden.requires_grad or m.requires_grad)
    if INTEGRATIONS[integration] in SUMS and len(m) in (1, hidden.shape[2]) and _on_triton(hidden) and not learning:
        return shifted(hidden, m)
    rows = m.unflatten(0, (-1, min(len(m), hidden.shape[2]))).transpose(1, 2)
    return INTEGRATIONS[integration](hidden, rows)


def feed_forward(layer: Any, x: Tensor) -> Tensor:
    """diffusers' FeedForward with a GEGLU: W2·(a · gelu(b)), [a, b] = W1·x."""
    both = layer.net[0].proj(x)
    if _on_triton(both):
        gated = gated_gelu(both)
    else:
        a, b = both.chunk(2, dim=-1)
        gated = a * F.gelu(b)
    return layer.net[2](gated)


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Attention of `[n, l, c]` to k and v `[n, m, c]`."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def attend_over_frames(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Self-attention over f of `[b, f, n, c]`, each of n positions by itself."""
    if _on_triton(q) and short_enough(q, heads):
        return short_attention(q, k, v, heads)
    videos, positions = len(q), q.shape[2]
    q, k, v = (x.transpose(1, 2).flatten(0, 1) for x in (q, k, v))
    return attend(q, k, v, heads).unflatten(0, (videos, positions)).transpose(1, 2).contiguous()
