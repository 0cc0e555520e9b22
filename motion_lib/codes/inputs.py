"""What an encoder sees of a clip. Every input is `(frames, latents) -> [b, c, f, s, s]`, of frames `[b, f, 3, h, w]`
from 0 to 1 or of latents `[b, c, f, h, w]`; one line in INPUTS says how many channels there are, and how many values
along each side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .tracks import GRID, tracks

SIDE = 64  # pixels that are looked at along each side of a frame


def small(frames: Tensor, side: int = SIDE) -> Tensor:
    """Frames `[b, f, c, h, w]` as `[b, c, f, side, side]`, each pixel the mean of those it stands for."""
    if frames.shape[-2:] != (side, side):
        frames = F.adaptive_avg_pool2d(frames.flatten(0, 1), (side, side)).unflatten(0, frames.shape[:2])
    return frames.transpose(1, 2)


def _change(x: Tensor) -> Tensor:
    """x_t − x_{t−1} of `[b, c, f, h, w]`; 0 for the first frame."""
    return torch.cat([torch.zeros_like(x[:, :, :1]), x.diff(dim=2)], dim=2)


def frame_pairs(frames: Tensor, latents: Tensor | None) -> Tensor:
    """F_{t−1} and F_t − F_{t−1}: never F_t itself, so that what a code says cannot be read off a still picture of it
    (CoMo, arXiv 2505.17006, sec. 3.2). Of the first frame, itself and 0."""
    x = small(frames) * 2 - 1
    change = _change(x)
    return torch.cat([x - change, change], dim=1)


def first_and_change(frames: Tensor, latents: Tensor | None) -> Tensor:
    """The first frame, at every time, and F_t − F_{t−1}."""
    x = small(frames) * 2 - 1
    return torch.cat([x[:, :, :1].expand_as(x), _change(x)], dim=1)


def differences(frames: Tensor, latents: Tensor | None) -> Tensor:
    """F_t − F_{t−1} alone."""
    return _change(small(frames) * 2 - 1)


def masks(frames: Tensor, latents: Tensor | None) -> Tensor:
    """How far each pixel is from the clip's median frame, and from the frame before, in 0..1: a guess at what moves
    without its colours. Where the camera moves, everything does."""
    x = small(frames)
    apart = (x - x.median(dim=2, keepdim=True).values).norm(dim=1, keepdim=True)
    return torch.cat([apart, _change(x).norm(dim=1, keepdim=True)], dim=1).clamp(max=1)


def latent_pairs(frames: Tensor, latents: Tensor | None) -> Tensor:
    """The same pairs as `frame_pairs`, of the model's own latents, one for every frame."""
    assert latents is not None, "these inputs are made of latents"
    change = _change(latents)
    return torch.cat([latents - change, change], dim=1)


def point_tracks(frames: Tensor, latents: Tensor | None) -> Tensor:
    """Where points go that lie on a grid in the first frame (see tracks.py): motion without pictures."""
    return tracks(frames)


@dataclass(frozen=True)
class Input:
    """channels c and side s of what `see` makes. latents: whether it needs the clip's latents. pairs: whether the first
    half of the channels is the frame before and the other half the change since."""

    see: Callable[[Tensor, Tensor | None], Tensor]
    channels: int
    side: int = SIDE
    latents: bool = False
    pairs: bool = False


INPUTS: dict[str, Input] = {
    "frame_pairs": Input(frame_pairs, 6, pairs=True),
    "first_and_change": Input(first_and_change, 6),
    "differences": Input(differences, 3),
    "masks": Input(masks, 2),
    "point_tracks": Input(point_tracks, 5, side=GRID),
    "latents": Input(latent_pairs, 8, side=16, latents=True, pairs=True),
}
