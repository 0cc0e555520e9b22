"""How much memory a pass needs, before it is run: the pass itself on tensors without data, whose sizes are counted."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

T = TypeVar("T")


class LiveBytes(TorchDispatchMode):
    """Follows every tensor that operations make: `now` bytes are alive, `peak` was the most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in given:
                self._follow(tensor.untyped_storage())
        return out

    def _follow(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self.now -= size


class _AttentionWithoutData(torch.autograd.Function):
    """What fused attention keeps: its inputs, its output and one number per row. PyTorch has none for tensors without
    data and would count the matrix of all pairs."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = torch.empty_like(q)
        ctx.save_for_backward(q, k, v, out, q.new_empty(q.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return tuple(torch.empty_like(x) for x in ctx.saved_tensors[:3])


class _NormWithoutData(torch.autograd.Function):
    """What a fused RMSNorm with frozen weights keeps: its input and one number per row. For tensors without data
    PyTorch has single operations, which keep the input in float32 as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x, x.new_empty(x.shape[:-1], dtype=torch.float32))
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return torch.empty_like(ctx.saved_tensors[0])


def norm_is_fused(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether PyTorch computes RMSNorm in one operation there, as it does on GPUs since 2.9."""
    x, weight = (torch.ones(8, device=device, dtype=dtype) for _ in range(2))
    with torch.enable_grad():
        made_by: Any = F.rms_norm(x.requires_grad_(), (8,), weight, 1e-6).grad_fn
    return "FusedRmsNorm" in made_by.name()


@contextmanager
def _fused(norm: bool) -> Iterator[None]:
    """Attention of tensors without data as `_AttentionWithoutData`, and RMSNorm as `_NormWithoutData` if it is fused
    where the pass will run, whichever pass asks for them. They are replaced by name, because a mode of PyTorch's would
    not be asked about what the backward pass computes again."""
    own, own_norm = F.scaled_dot_product_attention, F.rms_norm

    def attention(query: Tensor, key: Tensor, value: Tensor, *given: Any, **named: Any) -> Tensor:
        if query.is_meta:
            return _AttentionWithoutData.apply(query, key, value)
        return own(query, key, value, *given, **named)

    def rms_norm(x: Tensor, *given: Any, **named: Any) -> Tensor:
        return _NormWithoutData.apply(x) if norm and x.is_meta else own_norm(x, *given, **named)

    F.scaled_dot_product_attention, F.rms_norm = attention, rms_norm
    try:
        yield
    finally:
        F.scaled_dot_product_attention, F.rms_norm = own, own_norm


def without_data(thing: T, network: nn.Module) -> T:
    """A copy of what holds a network, or of the network, on the meta device; the weights are not copied."""
    memo: dict[int, Any] = {}
    for parameter in network.parameters():
        memo[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
    for buffer in network.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(thing, memo)


def activation_bytes(function: Callable[..., Tensor], inputs: list[Tensor], fused_norm: bool = False) -> int:
    """The most that a forward and backward pass of `function(*inputs)` holds at once beside its inputs, which have no
    data. Gradients are taken for those inputs that need one. fused_norm: see `norm_is_fused`."""
    learning = [x for x in inputs if x.requires_grad]
    with torch.enable_grad(), _fused(fused_norm), LiveBytes() as live:
        output = function(*inputs)
        if learning:
            torch.autograd.grad(output, learning, torch.empty_like(output))
    return live.peak
