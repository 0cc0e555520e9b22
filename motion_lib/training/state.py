"""A motion embedding that learns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..diffusion.denoiser import Denoiser
from ..errors import MotionError
from ..method.embedding import MotionEmbedding
from ..method.patch import DEBIAS, MotionPatch, PreparedPatch
from .learner import LearningState
from .losses import SPATIAL
from .motion_mask import motion_masks
from .settings import TrainingSettings
from .spatial_lora import SpatialLoRA


@dataclass
class EmbeddingLearner:
    """The Learner of a motion embedding. moving: where the clip moves, `[h·w, f, 1]` per value embedding, if the
    settings keep the embedding to it."""

    embedding: MotionEmbedding
    settings: TrainingSettings
    optimizer: torch.optim.AdamW
    moving: dict[str, Tensor] = field(default_factory=dict)

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        return self.embedding.tensors

    @property
    def grids(self) -> Mapping[str, tuple[int, int]]:
        return self.embedding.grids

    def rate(self, step: int) -> float:
        return self.settings.rate(step)

    def prepare(self, denoiser: Denoiser, latents: Tensor) -> None:
        self.embedding.check_fits(denoiser.backbone)
        _check_shape(latents, self.embedding)
        if self.settings.motion_mask:
            self.moving = motion_masks(latents, self.embedding, self.settings.motion_mask)

    @contextmanager
    def acting(self, clean: Tensor, learning: bool = True) -> Iterator[list[PreparedPatch]]:
        embedding = self.effective() if learning else self.effective().detached()
        frames, size = clean.shape[2], (clean.shape[3], clean.shape[4])
        patch = MotionPatch(embedding, debias="vanilla", expert=self.settings.expert)
        yield [patch.prepare(frames, size, clean.device, clean.dtype)]

    def effective(self) -> MotionEmbedding:
        """The embedding as it acts while it is learned, with gradients: value embeddings debiased as the settings say,
        and nothing where the clip stands still."""
        if self.settings.train_debias == "vanilla" and not self.moving:
            return self.embedding
        debias, tensors = DEBIAS[self.settings.train_debias], dict(self.embedding.tensors)
        for key in (key for key in tensors if key.endswith(".v")):
            m = debias(tensors[key])
            tensors[key] = m * self.moving[key] if key in self.moving else m
        return self.embedding.with_tensors(tensors)


@dataclass
class TrainingState(LearningState[EmbeddingLearner]):
    """Everything that the training of an embedding continues from. `embedding` holds the tensors that are optimised;
    take `learned` to keep what they amount to. spatial: the LoRA of a loss with a spatial term, from the first step on.
    """

    @classmethod
    def start(cls, embedding: MotionEmbedding, settings: TrainingSettings, device: torch.device | str) -> TrainingState:
        if not embedding.tensors:
            raise MotionError("The embedding holds no tensors (components none): there is nothing to learn.")
        live = {k: t.detach().to(device, torch.float32).clone().requires_grad_() for k, t in embedding.tensors.items()}
        learner = EmbeddingLearner(embedding.with_tensors(live), settings, settings.optimizer(live.values()))
        return cls(learner, settings, torch.Generator().manual_seed(settings.seed))

    @property
    def embedding(self) -> MotionEmbedding:
        return self.learner.embedding

    @property
    def optimizer(self) -> torch.optim.AdamW:
        return self.learner.optimizer

    @property
    def learned(self) -> MotionEmbedding:
        """A copy of the embedding as it acts now, which further training does not change."""
        return self.learner.effective().detached()

    def prepare(self, denoiser: Denoiser, latents: Tensor) -> None:
        if term := SPATIAL.get(self.settings.loss):
            layers, self.skipped = denoiser.spatial_linears(), term.skipped
            self.spatial = self.spatial or SpatialLoRA.start(layers, term, self.settings, latents.device)
        super().prepare(denoiser, latents)


def _check_shape(latents: Tensor, embedding: MotionEmbedding) -> None:
    if latents.shape[2] != embedding.frames:
        raise MotionError(f"The clip has {latents.shape[2]} frames, but the embedding was made for {embedding.frames}.")
    size = (latents.shape[3], latents.shape[4])
    for name, grid in embedding.grids.items():
        expected = embedding.backbone[name].grid(size)
        if grid != expected:
            raise MotionError(f"The embedding's grid at {name} is {grid}, but latents of {size} need {expected}.")
