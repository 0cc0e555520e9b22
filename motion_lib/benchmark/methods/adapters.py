"""Learned changes to linear layers of a model, for baselines that change weights: what the training loop asks of them,
and a denoiser that runs them. The model is called directly, as hooks need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ...backbones import VideoModel
from ...backbones.accelerate.graphs import Graphed
from ...backbones.accelerate.recorded_sampling import RecordedDenoiser
from ...errors import MotionError
from ...method.patch import PreparedPatch
from ...training.learner import LearningState
from ...training.linear_changes import changed, no_change, ready_to_learn
from ...training.loop import train
from ...training.settings import TrainingSettings


@dataclass(frozen=True)
class Adapter:
    """Changes of layers, named as in linear_changes.py."""

    layers: Mapping[str, nn.Linear]
    tensors: Mapping[str, Tensor]

    def detached(self) -> Adapter:
        return Adapter(self.layers, {name: tensor.detach() for name, tensor in self.tensors.items()})


class AdaptedDenoiser:
    """A Denoiser that calls a model as it is, without the faster passes that do not run hooks, with the adapters of all
    `having` blocks that it is in. On a GPU, passes of a UNet that they learn from are recorded as CUDA graphs."""

    def __init__(self, model: VideoModel):
        denoiser = model.denoiser
        self.inner = denoiser.inner if isinstance(denoiser, RecordedDenoiser) else denoiser
        self.name, self.network, self.family = model.name, denoiser.abilities.network, denoiser.abilities.family
        self.process, self.backbone, self.abilities = denoiser.process, denoiser.backbone, denoiser.abilities
        self.spatial_linears = denoiser.spatial_linears
        self.adapters: list[Adapter] = []
        self.records = model.device.type == "cuda" and not self.backbone.stacked
        self.recorded: dict[Any, Graphed] = {}

    @contextmanager
    def having(self, adapter: Adapter) -> Iterator[None]:
        self.adapters.append(adapter)
        try:
            yield
        finally:
            self.adapters.pop()

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Any, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        adapters = tuple(self.adapters)

        def predict(latents: Tensor, timesteps: Tensor, conditioning: Any, *tensors: Tensor) -> Tensor:
            rest = iter(tensors)
            with ExitStack() as inside:
                for adapter in adapters:
                    inside.enter_context(changed(adapter.layers, {name: next(rest) for name in adapter.tensors}))
                return self.inner(latents, timesteps, conditioning, patches)

        tensors = [tensor for adapter in adapters for tensor in adapter.tensors.values()]
        inputs = [latents, timesteps, conditioning, *tensors]
        if not self.records or not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in tensors):
            return predict(*inputs)
        kind = tuple((x.shape, x.dtype, x.requires_grad) for x in inputs)
        if kind not in self.recorded:
            self.recorded[kind] = Graphed(predict, inputs)
        return self.recorded[kind](*inputs)

    def linears(self, kind: str, keep: Callable[[str], bool]) -> dict[str, nn.Linear]:
        """The linear layers inside modules of class `kind` whose full names `keep` accepts.

        Raises MotionError where there are none.
        """
        inside = [name for name, module in self.network.named_modules() if type(module).__name__ == kind]
        within = tuple(f"{name}." for name in inside)
        modules = self.network.named_modules()
        found = {n: m for n, m in modules if isinstance(m, nn.Linear) and n.startswith(within) and keep(n)}
        if not found:
            raise MotionError(
                f"{self.name} is of the family {self.family}, which has no such layers as this method changes: choose "
                f"other methods."
            )
        return found


@dataclass
class AdapterLearner:
    """The Learner of an adapter, for the denoiser that it is made for."""

    denoiser: AdaptedDenoiser
    adapter: Adapter
    settings: TrainingSettings
    optimizer: torch.optim.AdamW
    grids: Mapping[str, tuple[int, int]] = field(default_factory=dict, init=False)

    @classmethod
    def start(
        cls,
        denoiser: AdaptedDenoiser,
        layers: Mapping[str, nn.Linear],
        settings: TrainingSettings,
        device: torch.device,
        tensors: Mapping[str, Tensor] | None = None,
    ) -> AdapterLearner:
        """From these changes, or from none of every weight."""
        live = ready_to_learn(no_change(layers) if tensors is None else tensors, device)
        return cls(denoiser, Adapter(layers, live), settings, settings.optimizer(live.values()))

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        return self.adapter.tensors

    def rate(self, step: int) -> float:
        return self.settings.rate(step)

    def prepare(self, denoiser: Any, latents: Tensor) -> None:
        """Its layers are those of the model."""

    @contextmanager
    def acting(self, clean: Tensor, learning: bool = True) -> Iterator[list[PreparedPatch]]:
        with self.denoiser.having(self.adapter if learning else self.adapter.detached()):
            yield []

    def fit(self, latents: Tensor, text: Tensor, look: AdapterLearner | None = None) -> Adapter:
        """What it learns from one clip `[1, c, f, h, w]`.

        look: one on the spatial layers, which learns one random frame at every step by plain mse and acts, without
        learning, in the pass over all frames (MotionDirector, arXiv 2310.08465, sec. 3.2).
        """
        generator = torch.Generator().manual_seed(self.settings.seed)
        state = LearningState(self, self.settings, generator, spatial=look)
        for _ in train(self.denoiser, latents, text, state):
            pass
        return self.adapter.detached()
