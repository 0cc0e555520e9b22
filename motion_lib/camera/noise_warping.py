"""Start noise that moves as the camera does: white in every frame, and the same wherever frames see the same place.

A video model keeps much of the layout of its start noise, so that a background begun from such noise moves with it
(noise warping: Chang et al. 2024, "How I Warped Your Noise"; Burgert et al. 2025, arXiv 2501.08331). Interpolated noise
would be grey and correlated. Here the world is laid out in cells finer than a pixel, each with a Gaussian number of its
own, and a pixel is the sum of the cells that fall into it over the root of their number: exactly white, at any zoom.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import MotionError
from .path import CameraPath, pixel_centres

CELLS = 4  # along each side of a pixel, where the camera is nearest
MOST_CELLS = 2**22  # of a world that is very large, cells are coarser


def warped_noise(path: CameraPath, shape: Sequence[int], seed: int, like: Tensor | None = None) -> Tensor:
    """Gaussian noise of shape `[b, c, f, h, w]` carried along a camera's path, every video with noise of its own.

    Drawn on the CPU, so that a seed means the same on every device. Raises MotionError unless the path has f frames.
    """
    videos, channels, frames, height, width = shape
    if len(path) != frames:
        raise MotionError(f"The camera path has {len(path)} frames and the video has {frames}: resample one of them.")
    cells = _cells(path, (height, width))
    generator = torch.Generator().manual_seed(seed)
    canvas = torch.randn(videos, channels, len(cells), generator=generator)
    noise = torch.randn(videos, channels, frames, height * width, generator=generator)  # where no cell falls
    for i in range(frames):
        pixel, inside = _pixel_of(path.to_frames(cells, slice(i, i + 1))[0], (height, width))
        count = torch.zeros(height * width).index_add_(0, pixel, torch.ones(len(pixel)))
        total = torch.zeros(videos, channels, height * width).index_add_(2, pixel, canvas[:, :, inside])
        noise[:, :, i] = torch.where(count > 0, total / count.clamp(min=1).sqrt(), noise[:, :, i])
    noise = noise.unflatten(3, (height, width))
    return noise if like is None else noise.to(like)


def _cells(path: CameraPath, size: tuple[int, int]) -> Tensor:
    """The middles `[n, 2]` of all cells that a frame sees."""
    pixel = 2 / min(size)
    corners = pixel_centres(size)
    corners = torch.stack([corners.amin(0) - pixel, corners.amax(0) + pixel])
    box = torch.cartesian_prod(*corners.unbind(-1))
    seen = path.to_world(box).flatten(0, 1)
    low, high = seen.amin(0), seen.amax(0)
    side = pixel / CELLS / float(path.log_zoom.max().exp())
    side = max(side, float((high - low).prod() / MOST_CELLS) ** 0.5)
    x, y = (torch.arange(a + side / 2, b, side) for a, b in zip(low.tolist(), high.tolist(), strict=True))
    return torch.cartesian_prod(x, y)


def _pixel_of(points: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The pixel of each point that lies in the picture, and which points do."""
    height, width = size
    half = min(size) / 2
    column, row = ((points * half) + torch.tensor([width / 2, height / 2])).floor().long().unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return (row * width + column)[inside], inside
