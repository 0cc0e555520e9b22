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


def moved_grid(tensor: Tensor, grid: tuple[int, int], right: float, down: float, zoom: float) -> Tensor:
    """`[h·w, f, c]` on its grid (h, w), zoomed about the middle and then moved by shares of the picture: bilinear, and
    beyond the edges as at the edge."""
    h, w = grid
    if len(tensor) == 1 or (right, down, zoom) == (0.0, 0.0, 1.0):
        return tensor
    planes = rearrange(tensor, "(h w) f c -> 1 (f c) h w", h=h)
    back = torch.tensor([[1 / zoom, 0, -2 * right / zoom], [0, 1 / zoom, -2 * down / zoom]]).to(planes)
    places = F.affine_grid(back[None], [1, 1, h, w], align_corners=False)
    moved = F.grid_sample(planes, places, mode="bilinear", padding_mode="border", align_corners=False)
    return rearrange(moved, "1 (f c) h w -> (h w) f c", f=tensor.shape[1])


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
