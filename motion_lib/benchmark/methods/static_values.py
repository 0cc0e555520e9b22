"""Motion Inversion as others brought it to models whose attention sees frames and places at once: a query-key row for
every frame, and one value embedding for all frames, on the full grid of every block."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...backbones import VideoModel
from ...method.embedding import MotionEmbedding
from ...training.state import EmbeddingLearner, TrainingState
from .base import Reference
from .motion_inversion import MotionInversion


class StaticLearner(EmbeddingLearner):
    """Its value tensors are `[h·w, 1, c]`, the same for every frame."""

    def effective(self) -> MotionEmbedding:
        frames = self.embedding.frames
        tensors = {key: t.expand(-1, frames, -1) for key, t in self.embedding.tensors.items()}
        return self.embedding.with_tensors(tensors)


@dataclass(frozen=True)
class StaticValues(MotionInversion):
    """The same loop and the same way to act; only the value embedding does not change over the frames."""

    def state(self, model: VideoModel, reference: Reference) -> TrainingState:
        whole = super().state(model, reference)
        first = {key: t[:, :1] if key.endswith(".v") else t for key, t in whole.embedding.tensors.items()}
        state = TrainingState.start(whole.embedding.with_tensors(first), whole.settings, model.device)
        own = state.learner
        state.learner = StaticLearner(own.embedding, own.settings, own.optimizer)
        return state

    def shared(self, reference: Reference, learned: MotionEmbedding) -> dict[str, Tensor]:
        return {key: t[:, :1] if key.endswith(".v") else t for key, t in learned.tensors.items()}
