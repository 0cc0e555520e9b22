"""The clip of an edit by instruction, with models of InstructPix2Pix's kind (Brooks et al. 2023, arXiv 2211.09800)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.conditioning import Conditioning
from ..errors import MotionError

PICTURE = "picture"  # the part of a conditioning that holds the clip's latents


@dataclass(frozen=True)
class Edit:
    """The clip's latents `[1, c, f, h, w]`, and how strongly it guides.

    Raises MotionError for latents that are not finite, and for a guidance that is no number from 0 up.
    """

    clip: Tensor
    picture_guidance: float = 1.5
    """How closely to follow the clip: higher values leave more of every frame as it is; usual are 1 to 2.5."""

    def __post_init__(self) -> None:
        if not torch.isfinite(self.clip).all():
            raise MotionError("The latents of the clip contain NaN or infinity: check the clip and the autoencoder.")
        if not (math.isfinite(self.picture_guidance) and self.picture_guidance >= 0):
            raise MotionError(f"The picture guidance is {self.picture_guidance:g}, but it must be a number from 0 up.")

    def conditioned(self, text: Tensor, noise: Tensor) -> Conditioning:
        """Text embeddings `[b, tokens, width]` and this clip, for start noise `[b, c, f, h, w]`.

        Raises MotionError for noise of another size or number of frames than the clip's.
        """
        if self.clip.shape[2:] != noise.shape[2:]:
            frames, height, width = self.clip.shape[2:]
            raise MotionError(
                f"The clip's latents have {frames} frames of {width}x{height}, but the start noise has "
                f"{noise.shape[2]} of {noise.shape[4]}x{noise.shape[3]}: make noise of the clip's shape."
            )
        return Conditioning(text, {PICTURE: self.clip.to(noise).expand_as(noise)})
