"""Diversity: how much do videos of one prompt and different seeds differ in what the prompt leaves open?

A known failure of motion transfer is that every video looks alike. The spread of appearance is the mean over pairs of
videos of the root mean square distance of their looks. A look is a vector `[n]` per video, NaN where there is nothing
to compare. Values depend on model and prompts: read them as a ratio to the same model without motion.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..sprites.checker import CHROMA_OF_OBJECTS
from ..video.frames import check_clip_tensor, planes
from .captions import object_path

Look = Callable[[Tensor], Tensor]
CROP = 32  # pixels a side, half a picture wide


def pixels(frames: Tensor) -> Tensor:
    """Any clip: every pixel of every frame, in [0, 1]. Videos that move alike are alike in this, too."""
    return planes(frames).flatten()


def sprite_look(frames: Tensor) -> Tensor:
    """Sprite clips: the background where no object hides it, and the object cut out around its own centre, so that a
    common path is no common look."""
    pictures = planes(frames)
    vivid = pictures.amax(dim=1, keepdim=True) - pictures.amin(dim=1, keepdim=True) > CHROMA_OF_OBJECTS
    hidden = F.max_pool2d(vivid.float(), 5, stride=1, padding=2) > 0
    background = F.avg_pool2d(pictures, 4).masked_fill(F.max_pool2d(hidden.float(), 4) > 0, math.nan)
    centre = object_path(frames).points
    half = 0.5 * torch.eye(2).expand(len(frames), 2, 2)
    theta = torch.cat([half, centre.nan_to_num()[..., None]], dim=2)
    grid = F.affine_grid(theta, [len(frames), 3, CROP, CROP], align_corners=False)
    covered = F.grid_sample(vivid.float(), grid, align_corners=False) > 0.5
    crop = F.grid_sample(pictures, grid, align_corners=False).masked_fill(~covered, 0.0)
    return torch.cat([background.flatten(), crop.flatten()])


def appearance_spread(clips: Sequence[Tensor], look: Look = pixels) -> float:
    """The spread of appearance of clips uint8 `[f, h, w, 3]` of one prompt; NaN for fewer than two.

    Raises MotionError for anything but clips.
    """
    for clip in clips:
        check_clip_tensor(clip)
    looks = [look(clip) for clip in clips]
    distances = [float((a - b).square().nanmean().sqrt()) for a, b in itertools.combinations(looks, 2)]
    return sum(distances) / len(distances) if distances else math.nan
