"""The `animatediff` family: diffusers' UNetMotionModel, an image model of Stable Diffusion's kind with motion modules
(AnimateDiff, arXiv 2307.04725), as saved by AnimateDiffPipeline."""

from __future__ import annotations

from ..family import Family
from .denoiser import FAMILY, load
from .tiny import tiny

family = Family(FAMILY, load, tiny)
