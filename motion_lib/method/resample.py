"""Learned tensors `[h·w, f, c]` on other numbers of frames and other grids. Only trained rows are read."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def resize_time(tensor: Tensor, frames: int) -> Tensor:
    """Linear along the frames of `[n, f, c]`, first and last frame kept."""
    if tensor.shape[1] == frames:
        return tensor
    moved = rearrange(tensor, "n f c -> n c f")
    return rearrange(F.interpolate(moved, size=frames, mode="linear", align_corners=True), "n c f -> n f c")


def resize_grid(tensor: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Bilinear on the grid (h, w) of `[h·w, f, c]`."""
    if old == new:
        return tensor
    planes = rearrange(tensor, "(h w) f c -> f c h w", h=old[0])
    return rearrange(F.interpolate(planes, size=new, mode="bilinear", align_corners=False), "f c h w -> (h w) f c")


def rows_at(tensor: Tensor, positions: Tensor) -> Tensor:
    """The frames of `[n, f, c]` at `positions`, of which 0 is the first and 1 the last, linear between neighbours; a
    position that falls on a frame gives that frame, bit for bit."""
    last = tensor.shape[1] - 1
    at = (positions.double() * last).clamp(0, last)
    at = torch.where((at - at.round()).abs() < 1e-9, at.round(), at)
    low = at.floor()
    share = (at - low).to(tensor)[:, None]
    low = low.long().to(tensor.device)
    return torch.lerp(tensor[:, low], tensor[:, (low + 1).clamp(max=last)], share)
