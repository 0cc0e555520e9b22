"""Keeping the best of a training run. More steps follow the clip more closely and copy more of its look: where the best
embedding lies between is measured, not known.

    keeper = Keeper(every=50, score=FidelityMinusLeak(model, frames, prompts, preset.patch), patience=2)
    for state in train(denoiser, latents, conditioning, state):
        if keeper.due(state):
            keeper.take(state)
        if keeper.exhausted:
            break
    save_embedding(path, keeper.best.embedding)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import MotionError
from ..method.embedding import MotionEmbedding
from .state import TrainingState

Score = Callable[[MotionEmbedding], float]


@dataclass(frozen=True)
class Candidate:
    """The embedding as it was after a step; higher scores are better, NaN is none."""

    step: int
    embedding: MotionEmbedding
    score: float = math.nan


@dataclass
class Keeper:
    """Takes a candidate after every `every` steps and after the last. patience: how many without a better one end the
    run, 0 for none. candidates: those so far, from a resumed run too."""

    every: int
    score: Score | None = None
    patience: int = 0
    candidates: list[Candidate] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise MotionError(f"every is {self.every}, but candidates need at least 1 step between them.")
        if self.patience < 0:
            raise MotionError(f"patience is {self.patience}, but it must be a number of candidates, or 0.")

    def due(self, state: TrainingState) -> bool:
        """Is there a candidate to take that has not been taken yet?"""
        wanted = state.step > 0 and (state.step % self.every == 0 or state.done)
        return wanted and all(candidate.step != state.step for candidate in self.candidates)

    def take(self, state: TrainingState) -> Candidate:
        """Keep what was learned so far, with its score."""
        embedding = state.learned
        candidate = Candidate(state.step, embedding, math.nan if self.score is None else self.score(embedding))
        self.candidates.append(candidate)
        return candidate

    @property
    def best(self) -> Candidate:
        """The earliest of those with the highest score; the last where none has one."""
        scored = [candidate for candidate in self.candidates if not math.isnan(candidate.score)]
        return max(scored, key=lambda candidate: candidate.score) if scored else self.candidates[-1]

    @property
    def exhausted(self) -> bool:
        """Has patience run out?"""
        later = len(self.candidates) - 1 - self.candidates.index(self.best) if self.candidates else 0
        return 0 < self.patience <= later
