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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from ..diffusion.noise import mix
from ..diffusion.sampling import random_noise
from ..errors import MotionError
from ..method.embedding import MotionEmbedding
from ..method.patch import MotionPatch
from .state import TrainingState

if TYPE_CHECKING:
    from ..backbones import VideoModel
    from ..metrics.leak import Regions

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


class FidelityMinusLeak:
    """A Score: videos of other prompts are sampled with the embedding; the mean of their motion fidelity to the
    reference minus the appearance that leaked from it, both at most 1.

    A video in which nothing moves has a fidelity of 0, one whose colours cannot be told from the reference's a leak of
    0. Leaks are measured against the same prompts and noises without the motion, which are sampled once.
    """

    def __init__(
        self,
        model: VideoModel,
        reference: Tensor,
        prompts: Sequence[str],
        patch_of: Callable[[MotionEmbedding], MotionPatch],
        *,
        inverted: Tensor | None = None,
        noise_weight: float = 0.0,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
        regions: Regions | None = None,
    ):
        """reference: uint8 `[f, h, w, 3]` of the size that is sampled. patch_of: how the embedding is applied, such as
        `Preset.patch`. inverted: noise of the reference, of which the start noise holds `noise_weight`; without it, all
        noise is fresh. regions: see `appearance_leak`.

        Raises MotionError without prompts, for a reference in which nothing moves, or where OpenCV is missing.
        """
        from ..camera.trackers import track
        from ..metrics.fidelity import fidelity_of_tracks
        from ..metrics.leak import whole_frame

        if not prompts:
            raise MotionError("Candidates cannot be scored without prompts: give at least one.")
        self.tracks = track(reference, "lucas_kanade")
        if not fidelity_of_tracks(self.tracks, self.tracks).moving_reference:
            raise MotionError("Nothing moves in the reference, so candidates cannot be scored: leave scoring out.")
        self.model, self.reference, self.prompts, self.patch_of = model, reference, prompts, patch_of
        self.inverted, self.noise_weight, self.regions = inverted, noise_weight, regions or whole_frame
        self.steps = steps or model.defaults.steps
        self.guidance = model.defaults.guidance if guidance is None else guidance
        frames, height, width = reference.shape[:3]
        shape = model.latent_shape(frames, width, height)
        self.fresh = [random_noise(shape, seed + i).to(model.device, model.dtype) for i in range(len(prompts))]
        self._without: list[Tensor] = []

    def __call__(self, embedding: MotionEmbedding) -> float:
        if not self._without:
            self._without = [self._video(i, []) for i in range(len(self.prompts))]
        scores = [self._compare(i, self._video(i, [self.patch_of(embedding)])) for i in range(len(self.prompts))]
        return sum(scores) / len(scores)

    def _compare(self, i: int, moved: Tensor) -> float:
        from ..camera.trackers import track
        from ..metrics.fidelity import fidelity_of_tracks
        from ..metrics.leak import appearance_leak

        fidelity = fidelity_of_tracks(self.tracks, track(moved, "lucas_kanade")).score
        leak = appearance_leak(self.reference, moved, self._without[i], self.regions).score
        return _or_zero(fidelity) - _or_zero(leak)

    def _video(self, i: int, patches: list[MotionPatch]) -> Tensor:
        """uint8 `[f, h, w, 3]` of prompt i."""
        noise = self.fresh[i]
        if patches and self.inverted is not None:
            noise = mix(self.inverted, noise, self.noise_weight)
        chosen = {"steps": self.steps, "guidance": self.guidance, "patches": patches, "fast": False}
        return self.model.generate(self.prompts[i], noise, **chosen)[0]


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
