"""Short training runs of the tiny model."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from motion_lib.backbones.unet3d.denoiser import UNet3DDenoiser
from motion_lib.method.embedding import MotionEmbedding
from motion_lib.training.loop import train
from motion_lib.training.settings import TrainingSettings
from motion_lib.training.state import TrainingState
from tests.tiny import randn, text, tiny_backbone, tiny_denoiser

CLIP = randn(1, 4, 3, 5, 6)


class Watched:
    """A denoiser that keeps the timesteps and noisy latents it is given, and may break what it predicts."""

    def __init__(self, inner: UNet3DDenoiser, spoil: Callable[[Tensor, int], Tensor] = lambda p, call: p):
        self.inner, self.process, self.backbone, self.spoil = inner, inner.process, inner.backbone, spoil
        self.timesteps: list[int] = []
        self.latents: list[Tensor] = []

    def __call__(self, latents, timesteps, conditioning, patches=()):
        self.timesteps += timesteps.tolist()
        self.latents.append(latents)
        return self.spoil(self.inner(latents, timesteps, conditioning, patches), len(self.latents))

    def spatial_linears(self):
        return self.inner.spatial_linears()


def begin(settings: TrainingSettings, sites: str = "all", components: str = "both", frames: int = 3) -> TrainingState:
    zeros = MotionEmbedding.zeros(tiny_backbone(), sites, frames, (5, 6), components)
    return TrainingState.start(zeros, settings, "cpu")


def finish(state: TrainingState, denoiser=None, clip: Tensor = CLIP) -> TrainingState:
    for _ in train(denoiser or tiny_denoiser(), clip, text(len(clip)), state):
        pass
    return state
