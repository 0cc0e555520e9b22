"""How good an embedding is, for choosing among those of one training run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from ..backbones import VideoModel
from ..camera.trackers import track
from ..diffusion.noise import mix
from ..diffusion.sampling import random_noise
from ..errors import MotionError
from ..method.embedding import MotionEmbedding
from ..method.patch import MotionPatch
from .fidelity import fidelity_of_tracks
from .leak import Regions, appearance_leak, whole_frame


class FidelityMinusLeak:
    """A Score (see training/selection.py): videos of other prompts are sampled with the embedding; the mean of their
    motion fidelity to the reference minus the appearance that leaked from it, both at most 1.

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
        if not prompts:
            raise MotionError("Candidates cannot be scored without prompts: give at least one.")
        self.tracks = track(reference, "lucas_kanade")
        if not fidelity_of_tracks(self.tracks, self.tracks).moving_reference:
            raise MotionError("Nothing moves in the reference, so that candidates cannot be scored: leave scoring out.")
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
