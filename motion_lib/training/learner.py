"""What the training loop asks of anything that learns, and how far one such thing has learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from ..diffusion.denoiser import Denoiser
from ..method.patch import PreparedPatch
from .settings import TrainingSettings


class Learner(Protocol):
    """Something that learns while the model itself stays frozen: a motion embedding, or changes of linear layers."""

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """What is optimised, by name."""
        ...

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimizer of `tensors`."""
        ...

    @property
    def grids(self) -> Mapping[str, tuple[int, int]]:
        """The grid (h, w) of every layer that it patches. There is none where it changes layers themselves, which every
        video of a batch passes, so that it has to learn alone."""
        ...

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        ...

    def prepare(self, denoiser: Denoiser, latents: Tensor) -> None:
        """Called before the first step on clean latents `[b, c, f, h, w]`; raises MotionError if it does not suit the
        model or them."""
        ...

    def acting(self, clean: Tensor, learning: bool = True) -> AbstractContextManager[Sequence[PreparedPatch]]:
        """While inside, it acts on videos of the shape of `clean`, if the denoiser is called with the patches that are
        given. Gradients reach it only if it is learning. The backward pass belongs inside as well."""
        ...


L = TypeVar("L", bound=Learner)


@dataclass
class LearningState(Generic[L]):
    """A learner, and all that its training continues from.

    losses: of the learner, per step; what `spatial` learns by is not in them. spatial: a learner of its own, which
    learns the look from single frames so that `learner` need not, and acts beside it. skipped: the share of the steps
    that do without it.
    """

    learner: L
    settings: TrainingSettings
    generator: torch.Generator
    step: int = 0
    losses: list[float] = field(default_factory=list)
    spatial: Learner | None = None
    skipped: float = 0.0

    @property
    def loss(self) -> float:
        """The loss of the last step."""
        return self.losses[-1]

    @property
    def done(self) -> bool:
        return self.step >= self.settings.steps

    def prepare(self, denoiser: Denoiser, latents: Tensor) -> None:
        """See Learner."""
        for learner in (self.learner, self.spatial):
            if learner is not None:
                learner.prepare(denoiser, latents)

    def advance(self, loss: float, generator: torch.Generator, spatial: Learner | None) -> None:
        """The optimizers' step, once gradients are there and known to be finite. Nothing else changes a state, so that
        it is that of a whole number of steps whenever training is left, if signals wait meanwhile.

        generator: a copy of the state's, which has drawn what the step needed. spatial: the learner of that name, if it
        learned in this step.
        """
        for learner in (self.learner, spatial):
            if learner is not None:
                for group in learner.optimizer.param_groups:
                    group["lr"] = learner.rate(self.step)
                learner.optimizer.step()
        self.generator.set_state(generator.get_state())
        self.step += 1
        self.losses.append(loss)
