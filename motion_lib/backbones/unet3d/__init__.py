"""The `unet3d` family: diffusers' UNet3DConditionModel, as in ModelScope, ZeroScope and VideoCrafter2 in diffusers
layout."""

from __future__ import annotations

from ..family import Family
from .denoiser import FAMILY, load
from .tiny import tiny

family = Family(FAMILY, load, tiny)
