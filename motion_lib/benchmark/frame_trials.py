"""Videos of an image model, tied in different ways: what is tried, and what a video is worth.

All ways share prompts and seeds, and all noise priors, for a seed, the start noise of the first frame.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..camera.noise_warping import warped_noise
from ..camera.path import CameraPath
from ..diffusion.frame_noise import PRIORS, similarity_of, tied
from ..diffusion.sampling import random_noise
from ..metrics.captions import caption_accuracy, object_path
from ..metrics.clip import ClipModel, neighbour_similarity, text_similarity
from ..metrics.consistency import warp_error
from ..metrics.paths import path_correlation, path_extent, path_smoothness
from ..sprites import caption, check_frames, random_scenes
from ..video.frames import planes
from .cases import Case

LOOKS = ("colour", "shape", "texture")  # what should stay as it is from frame to frame
WARPED, FRESH = "warped", "independent"


@dataclass(frozen=True)
class Ties:
    """How frames are tied: the noise prior by name, the correlation of neighbours, and the momentum."""

    prior: str
    similarity: float
    momentum: float

    @property
    def noise(self) -> str:
        """In words; priors that make the same noise at the same similarity have one name."""
        if not PRIORS[self.prior].symbol:
            return self.prior
        return f"{_alike(self.prior)} {self.similarity:.3f}"

    @property
    def label(self) -> str:
        return f"{self.noise}, momentum {self.momentum:g}"

    def start(self, shape: Sequence[int], seed: int) -> Tensor:
        return tied(random_noise(shape, seed), self.prior, self.similarity)


@dataclass(frozen=True)
class Following:
    """Start noise that is carried along the path of a clip's object, or that is not, and the momentum."""

    motion: str
    path: Tensor
    noise: str
    momentum: float

    @property
    def label(self) -> str:
        return f"{self.motion}, {self.noise}, momentum {self.momentum:g}"

    def start(self, shape: Sequence[int], seed: int) -> Tensor:
        if self.noise == FRESH:
            return random_noise(shape, seed)
        still = torch.zeros(len(self.path))
        return warped_noise(CameraPath(self.path - self.path[:1], still, still), shape, seed)


def _alike(prior: str) -> str:
    kind = PRIORS[prior].correlation
    return ", ".join(name for name, other in PRIORS.items() if other.correlation is kind)


def ties(momenta: Sequence[float], similarity: float) -> list[Ties]:
    """Every prior at this similarity and as published, under every momentum; each kind of noise once."""
    noises: dict[str, tuple[str, float]] = {}
    for prior in PRIORS:
        for rho in (similarity, similarity_of(prior)):
            found = Ties(prior, rho if PRIORS[prior].symbol else 0.0, 0.0)
            noises.setdefault(found.noise, (prior, found.similarity))
    order = sorted(noises.values(), key=lambda noise: (noise[1], noise[0]))
    return [Ties(prior, rho, momentum) for prior, rho in order for momentum in momenta]


def followings(cases: Sequence[Case], momenta: Sequence[float]) -> list[Following]:
    """Of the paths measured in these clips."""
    return [
        Following(case.name, object_path(case.frames).points, noise, momentum)
        for case in cases
        for noise in (FRESH, WARPED)
        for momentum in momenta
    ]


def prompts_of(count: int) -> list[str]:
    """Captions of the sprite world, drawn from a fixed seed."""
    scenes = random_scenes(count, 2, generator=torch.Generator().manual_seed(19))
    return [caption(scenes.words(i)) for i in range(count)]


def seed_of(prompt: int, seed: int) -> int:
    return zlib.crc32(f"frames/{prompt}/{seed}".encode())


def scores(video: Tensor, prompt: str, truth: Tensor | None = None, clip: ClipModel | None = None) -> dict[str, float]:
    """Of a video uint8 `[f, h, w, 3]`; truth: the path `[f, 2]` it should follow. What cannot be measured is left out,
    but a path that cannot be compared correlates by 0."""
    return {name: value for name, value in _scores(video, prompt, truth, clip) if math.isfinite(value)}


def _scores(video: Tensor, prompt: str, truth: Tensor | None, clip: ClipModel | None) -> Iterator[tuple[str, float]]:
    found = caption_accuracy(video, prompt).over_frames
    yield "caption", sum(found.values()) / max(1, len(found))
    yield "constant", constancy(video)
    yield "warp", 1000 * warp_error(video).error
    path = object_path(video).points
    yield "extent", path_extent(path)
    yield "smooth", path_smoothness(path)
    if truth is not None:
        correlation = path_correlation(path, truth)
        yield "path", correlation if math.isfinite(correlation) else 0.0
    if clip is not None:
        features = clip.image_features(video)
        yield "text", text_similarity(features, clip.text_features(prompt))
        yield "neighbours", neighbour_similarity(features)


def constancy(video: Tensor) -> float:
    """The share of frames that show the video's most frequent colour, shape and texture, mean over the three: 1 where
    nothing changes, whatever the prompt says."""
    seen = [verdict.words for verdict in check_frames(planes(video))]
    most = [Counter(getattr(words, kind) for words in seen).most_common(1)[0][1] for kind in LOOKS]
    return sum(most) / (len(LOOKS) * len(seen))
