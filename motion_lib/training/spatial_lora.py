"""The spatial LoRA of losses with a spatial term: it takes on the look of the clip while the embedding learns its
motion, and is thrown away after training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..diffusion.denoiser import Denoiser
from ..errors import MotionError
from ..method.patch import PreparedPatch
from .interrupts import uninterrupted
from .linear_changes import changed, new_lora, ready_to_learn
from .losses import SpatialTerm
from .settings import TrainingSettings


@dataclass
class SpatialLoRA:
    """A Learner. tensors: those of a LoRA on `layers` (see linear_changes.py), the linear layers of the spatial
    transformers; those of a run that is read back are known when it carries on."""

    tensors: dict[str, Tensor]
    optimizer: torch.optim.AdamW
    learning_rate: float
    layers: Mapping[str, nn.Linear] = field(default_factory=dict)
    grids: Mapping[str, tuple[int, int]] = field(default_factory=dict, init=False)

    @classmethod
    def start(
        cls, layers: Mapping[str, nn.Linear], term: SpatialTerm, settings: TrainingSettings, device: torch.device | str
    ) -> SpatialLoRA:
        """One that changes nothing yet, from the seed. Raises MotionError when there are no layers for it."""
        if not layers:
            raise MotionError(
                f"The loss {settings.loss} needs spatial transformers, and this model has none: use another loss."
            )
        generator = torch.Generator().manual_seed(settings.seed)
        return cls.of(new_lora(layers, term.rank, generator), term, settings, device)

    @classmethod
    def of(
        cls, tensors: Mapping[str, Tensor], term: SpatialTerm, settings: TrainingSettings, device: torch.device | str
    ) -> SpatialLoRA:
        live = ready_to_learn(tensors, device)
        return cls(live, settings.optimizer(live.values(), term.learning_rate), term.learning_rate)

    def rate(self, step: int) -> float:
        return self.learning_rate

    def prepare(self, denoiser: Denoiser, latents: Tensor) -> None:
        """Raises MotionError unless it was made for layers of the names and widths that the model has."""
        self.layers = denoiser.spatial_linears()
        needed = {f"{name}.down": layer.in_features for name, layer in self.layers.items()}
        needed |= {f"{name}.up": layer.out_features for name, layer in self.layers.items()}
        if needed != {name: tensor.shape[name.endswith(".down")] for name, tensor in self.tensors.items()}:
            raise MotionError(
                "The unfinished run holds a spatial LoRA for another model: resume with the model it began with, or "
                "train anew."
            )

    @contextmanager
    def acting(self, clean: Tensor, learning: bool = True) -> Iterator[list[PreparedPatch]]:
        """Ctrl-C waits until the block ends: where it came while hooks are removed, some would stay."""
        tensors = self.tensors if learning else {name: tensor.detach() for name, tensor in self.tensors.items()}
        with uninterrupted(), changed(self.layers, tensors):
            yield []
