"""The `wan` family: diffusers' WanTransformer3DModel, as in Wan 2.1 and 2.2 (Wan Team 2025, arXiv 2503.20314)."""

from __future__ import annotations

from ..family import Family
from .codec import load as codec
from .denoiser import FAMILY, load
from .tiny import tiny

family = Family(FAMILY, load, tiny, codec)
