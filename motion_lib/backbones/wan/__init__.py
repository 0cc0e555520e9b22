"""The `wan` family: diffusers' WanTransformer3DModel, as in Wan 2.1 and 2.2 (Wan Team 2025, arXiv 2503.20314)."""

from __future__ import annotations

import diffusers

from ...errors import MotionError
from ..family import Family

OLDEST = (0, 35)  # before it, the rotation of queries and keys had another form, and before 0.33 there was no Wan

if tuple(int(number) for number in diffusers.__version__.split(".")[:2]) < OLDEST:
    raise MotionError(
        f"Models of Wan need diffusers 0.35 or newer, but {diffusers.__version__} is installed: pip install -U "
        f"diffusers."
    )

from .codec import load as codec  # noqa: E402
from .denoiser import FAMILY, load  # noqa: E402
from .experts import TwoExperts  # noqa: E402
from .tiny import tiny  # noqa: E402

family = Family(FAMILY, load, tiny, codec, TwoExperts)
