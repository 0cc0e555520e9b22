"""The spatial LoRA of losses with a spatial term: it takes on the look of the clip while the embedding learns its
motion, and is thrown away after training.

It acts through forward hooks on the linear layers of the spatial transformers, and only inside `acting`: between two
steps, and whatever happens in one, the model is the one that was loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import MotionError
from .interrupts import uninterrupted
from .losses import SpatialTerm
from .settings import TrainingSettings


@dataclass
class SpatialLoRA:
    """tensors: `<layer>.down` `[rank, in]` and `<layer>.up` `[out, rank]` per linear layer, whose output gains
    up·down·x (LoRA, Hu et al. 2021, arXiv 2106.09685, eq. 3, with α = rank)."""

    tensors: dict[str, Tensor]
    optimizer: torch.optim.AdamW

    @classmethod
    def start(
        cls,
        layers: Mapping[str, nn.Linear],
        term: SpatialTerm,
        settings: TrainingSettings,
        device: torch.device | str,
    ) -> SpatialLoRA:
        """One that changes nothing yet: `down` is Gaussian with deviation 1/rank, from the seed, and `up` zero.

        Raises MotionError when there are no layers for it.
        """
        if not layers:
            raise MotionError(
                f"The loss {settings.loss} needs spatial transformers, and this model has none: use another loss."
            )
        generator, tensors = torch.Generator().manual_seed(settings.seed), {}
        for name, layer in layers.items():
            tensors[f"{name}.down"] = torch.randn(term.rank, layer.in_features, generator=generator) / term.rank
            tensors[f"{name}.up"] = torch.zeros(layer.out_features, term.rank)
        return cls.of(tensors, term, settings, device)

    @classmethod
    def of(
        cls, tensors: Mapping[str, Tensor], term: SpatialTerm, settings: TrainingSettings, device: torch.device | str
    ) -> SpatialLoRA:
        live = {name: tensor.to(device, torch.float32).requires_grad_() for name, tensor in tensors.items()}
        return cls(live, settings.optimizer(live.values(), term.learning_rate))

    def check_fits(self, layers: Mapping[str, nn.Linear]) -> None:
        """Raise MotionError unless it was made for layers of these names and widths."""
        needed = {f"{name}.down": layer.in_features for name, layer in layers.items()}
        needed |= {f"{name}.up": layer.out_features for name, layer in layers.items()}
        if needed != {name: tensor.shape[name.endswith(".down")] for name, tensor in self.tensors.items()}:
            raise MotionError(
                "The unfinished run holds a spatial LoRA for another model: resume with the model it began with, or "
                "train anew."
            )

    @contextmanager
    def acting(self, layers: Mapping[str, nn.Linear], learning: bool) -> Iterator[None]:
        """While inside, the layers have the LoRA. Gradients reach it only if it is learning.

        The backward pass belongs inside as well, since a checkpointed block runs forward again there. Ctrl-C waits
        until the block ends: where it came while hooks are removed, some would stay.
        """
        with uninterrupted(), ExitStack() as hooks:
            for name, layer in layers.items():
                pair = [self.tensors[f"{name}.{part}"] for part in ("down", "up")]
                down, up = pair if learning else [tensor.detach() for tensor in pair]
                hooks.callback(layer.register_forward_hook(_adding(down, up)).remove)
            yield


def _adding(down: Tensor, up: Tensor):
    def hook(layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = arguments[0]
        return output + F.linear(F.linear(x, down.to(x)), up.to(x))

    return hook
