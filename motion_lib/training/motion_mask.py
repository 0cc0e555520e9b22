"""Where a clip moves: which positions and frames of a feature grid a motion embedding needs.

AdamW gives every entry of an embedding steps of about the same size, however small its gradient, so that positions
where nothing happens collect noise, which shows as damaged texture. An embedding that is kept to the moving places
cannot touch the others.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..method.embedding import MotionEmbedding


def motion_mask(latents: Tensor, grid: tuple[int, int], threshold: float) -> Tensor:
    """How much each position of a grid (h, w) moves in each frame, in 0..1: `[h·w, f, 1]` of latents
    `[b, c, f, H, W]`, the most over b clips of one motion.

    Movement is the distance from the clip's median frame, widened by one latent pixel; it counts in full from
    `threshold` times its maximum upwards and fades linearly below. Where the camera moves, everything moves. For a clip
    that stands still it is 1 everywhere.
    """
    far = (latents - latents.median(dim=2, keepdim=True).values).norm(dim=1)
    wide = F.max_pool2d(far, 3, stride=1, padding=1).amax(dim=0)
    places = F.adaptive_max_pool2d(wide, grid)
    most = wide.max()
    shown = (places / (threshold * most)).clamp(max=1) if most > 0 else torch.ones_like(places)
    return rearrange(shown, "f h w -> (h w) f 1")


def motion_masks(latents: Tensor, embedding: MotionEmbedding, threshold: float) -> dict[str, Tensor]:
    """The mask of each value embedding, by the name of its tensor."""
    masks = {}  # layers share grids
    for key in (key for key in embedding.tensors if key.endswith(".v")):
        grid = embedding.grid_of(key)
        masks[grid] = masks[grid] if grid in masks else motion_mask(latents.float(), grid, threshold)
    return {key: masks[embedding.grid_of(key)] for key in embedding.tensors if key.endswith(".v")}
