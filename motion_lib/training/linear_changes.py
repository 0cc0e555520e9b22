"""Learned changes of linear layers. They act through forward hooks and only inside `changed`, so that the weights
themselves are never touched: whatever happens there, the model is afterwards the one that was loaded.

A change of a layer is ΔW `[out, in]`, named `<layer>.change`, or a LoRA, ΔW = up·down (Hu et al. 2021, arXiv
2106.09685, eq. 3, with α = rank), named `<layer>.down` `[rank, in]` and `<layer>.up` `[out, rank]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PARTS = ("change", "down", "up")  # in the order in which a layer's input passes them


def no_change(layers: Mapping[str, nn.Linear]) -> dict[str, Tensor]:
    """A ΔW of zeros for every layer."""
    return {f"{name}.change": torch.zeros(layer.out_features, layer.in_features) for name, layer in layers.items()}


def new_lora(layers: Mapping[str, nn.Linear], rank: int, generator: torch.Generator) -> dict[str, Tensor]:
    """A LoRA for every layer that changes nothing yet: `down` is Gaussian with deviation 1/rank, and `up` zero."""
    tensors = {}
    for name, layer in layers.items():
        tensors[f"{name}.down"] = torch.randn(rank, layer.in_features, generator=generator) / rank
        tensors[f"{name}.up"] = torch.zeros(layer.out_features, rank)
    return tensors


def ready_to_learn(tensors: Mapping[str, Tensor], device: torch.device | str) -> dict[str, Tensor]:
    """The same tensors on a device, in float32, ready to learn."""
    return {name: tensor.to(device, torch.float32).requires_grad_() for name, tensor in tensors.items()}


@contextmanager
def changed(layers: Mapping[str, nn.Linear], tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """While inside, every layer computes (W + ΔW)·x.

    The backward pass belongs inside as well, since a checkpointed block runs forward again there.
    """
    with ExitStack() as hooks:
        for name, layer in layers.items():
            parts = [tensors[f"{name}.{part}"] for part in PARTS if f"{name}.{part}" in tensors]
            hooks.callback(layer.register_forward_hook(_adding(parts)).remove)
        yield


def _adding(parts: list[Tensor]):
    def hook(layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = arguments[0]
        for weight in parts:
            x = F.linear(x, weight.to(x))
        return output + x

    return hook
