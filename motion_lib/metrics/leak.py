"""Appearance leak: how far the colours of the reference come through in the output of a motion transfer.

Three clips are compared: the reference R, the output W made with its motion, and the output O of the same model, prompt
and seed made without. What the prompt asks for is in O, so only the difference W - O can have leaked. In each region of
the picture, with r, w, o the mean colours over its pixels and all frames (RGB in [0, 1], as displayed),

    shift = (w - o)·(r - o) / |r - o|²

0 means no step towards the reference's colour, 1 all the way, negative away from it; blending every pixel of O with a
share a of the reference's mean colour gives exactly a. Only colour is judged: a copied outline is seen by
`captions.caption_accuracy`, not here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..sprites.checker import CHROMA_OF_OBJECTS
from ..video.frames import check_clip_tensor

LEAST_CONTRAST = 0.1  # |r - o| below which the two colours look alike and a shift cannot be told
LEAST_AREA = 0.004  # of all pixels, for a region to have a colour

Regions = Callable[[Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class AppearanceLeak:
    """shifts: per region, unclipped, so that they can be averaged over clips without bias; NaN where reference and
    output without motion have nearly one colour, or a clip lacks the region."""

    shifts: dict[str, float]

    @property
    def score(self) -> float:
        """Mean over the regions of the shift clipped to 0..1; NaN when no region could be measured."""
        known = [min(1.0, max(0.0, shift)) for shift in self.shifts.values() if not math.isnan(shift)]
        return sum(known) / len(known) if known else math.nan


def whole_frame(frames: Tensor) -> dict[str, Tensor]:
    """Any clip: one region, everything."""
    return {"frame": torch.ones(frames.shape[:3], dtype=torch.bool, device=frames.device)}


def sprite_regions(frames: Tensor) -> dict[str, Tensor]:
    """Sprite clips: the vivid object, and the muted background behind it."""
    chroma = (frames.amax(dim=-1) - frames.amin(dim=-1)).float() / 255
    vivid = chroma > CHROMA_OF_OBJECTS
    return {"object": vivid, "background": ~vivid}


def appearance_leak(
    reference: Tensor, output: Tensor, without_motion: Tensor, regions: Regions = whole_frame
) -> AppearanceLeak:
    """Compare clips uint8 `[f, h, w, 3]`, which may differ in length and size; `regions` gives bool masks `[f, h, w]`.

    Raises MotionError for anything but clips.
    """
    clips = {"The reference": reference, "The output": output, "The output without motion": without_motion}
    for what, clip in clips.items():
        check_clip_tensor(clip, what)
    r, w, o = (_mean_colours(clip, regions(clip)) for clip in clips.values())
    return AppearanceLeak({name: _shift(r[name], w[name], o[name]) for name in r})


def _mean_colours(frames: Tensor, masks: dict[str, Tensor]) -> dict[str, Tensor]:
    """Colour `[3]` of every region, NaN for one that hardly exists."""
    return {
        name: frames[mask].double().mean(dim=0) / 255
        if mask.double().mean() >= LEAST_AREA
        else torch.full((3,), math.nan, dtype=torch.float64, device=frames.device)
        for name, mask in masks.items()
    }


def _shift(r: Tensor, w: Tensor, o: Tensor) -> float:
    direction = r - o
    contrast = float(direction.norm())
    return float((w - o) @ direction) / contrast**2 if contrast >= LEAST_CONTRAST else math.nan
