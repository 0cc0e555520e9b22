"""A region of the picture: where an error counts while training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MotionError


def region_of(pictures: Tensor, latent_shape: Sequence[int]) -> Tensor:
    """The mask `[f, h, w]` for latents `[b, c, f, h, w]` of this shape, 0..1, of a picture or a clip uint8
    `[f, height, width, 3]` that is bright in the region: the mean over the pixels of each place."""
    return on_latents(pictures.float().mean(dim=-1) / 255, latent_shape)


def on_latents(masks: Tensor, latent_shape: Sequence[int]) -> Tensor:
    """Masks `[n, height, width]` as `[n, h, w]` for latents `[b, c, f, h, w]`, the mean over the pixels of each place;
    where a latent frame stands for several frames of the clip, the most of theirs."""
    frames, height, width = latent_shape[2:]
    places = F.adaptive_avg_pool2d(masks.float(), (height, width))
    if len(masks) in (1, frames):
        return places
    # The first frame has a latent frame for itself.
    rest = F.adaptive_max_pool1d(places[1:].flatten(1).T, frames - 1).T.unflatten(1, (height, width))
    return torch.cat([places[:1], rest])


def root_mask(mask: Tensor, latents: Tensor) -> Tensor:
    """√(m / mean m) `[1 or b, c, f, h, w]`, so that scaling prediction and target makes a mean over the clip the mean
    over the region.

    Raises MotionError for a shape that does not fit, or values that cannot be weights.
    """
    shape = latents.shape if mask.ndim == 5 else (1, *latents.shape[1:])
    try:
        whole = mask.to(latents.device, torch.float32).broadcast_to(shape)
    except RuntimeError as error:
        raise MotionError(
            f"The mask has the shape {list(mask.shape)}, which does not fit latents {list(latents.shape)}: "
            f"use [f, h, w] or [h, w] of the latents."
        ) from error
    mean = whole.mean(dim=(1, 2, 3, 4), keepdim=True)
    if not bool((whole >= 0).all()) or not bool((mean > 0).all()) or not bool(mean.isfinite().all()):
        raise MotionError("The mask must hold finite numbers that are not negative, and some that are not 0.")
    return (whole / mean).sqrt()
