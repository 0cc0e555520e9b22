"""Start noise that is carried along by what moves in the clip (Burgert et al., "Go-with-the-Flow", arXiv 2501.08331,
for any movement; camera/noise_warping.py is for a camera's alone)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...backbones import VideoModel
from ...video.frames import opencv
from .base import Reference, Request, Untrained, generate

CELLS = 4  # along each side of a latent pixel


@dataclass(frozen=True)
class CarriedNoise(Untrained):
    """share: of the noise that is carried; the rest is fresh in every frame. Their variance stays 1."""

    share: float = 1.0

    def sample(self, model: VideoModel, reference: Reference, learned: Any, request: Request) -> Tensor:
        clip = reference.case.frames
        flow = dense_flow(clip)
        shape = request.fresh.shape[1:]
        carried = torch.stack([carried_noise(flow, clip.shape[1:3], shape, seed) for seed in request.seeds])
        noise = self.share**0.5 * carried.to(request.fresh) + (1 - self.share) ** 0.5 * request.fresh
        return generate(model, request, noise)


def dense_flow(frames: Tensor) -> Tensor:
    """How many pixels everything moves from each frame of a clip uint8 `[f, h, w, 3]` to the next, `[f - 1, h, w, 2]`
    (DIS, Kroeger et al., arXiv 1603.03590). Raises MotionError without OpenCV."""
    cv2 = opencv()
    greys = [cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY) for image in frames.cpu().numpy()]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return torch.from_numpy(np.stack([flow.calc(a, b, None) for a, b in pairwise(greys)]))


def carried_noise(flow: Tensor, size: tuple[int, int] | torch.Size, shape: torch.Size, seed: int) -> Tensor:
    """White noise of `shape`, `[c, f, h, w]`, carried along the flow `[f' - 1, height, width, 2]` of a clip of `size`.

    A latent pixel is the sum of the cells in it, each with a Gaussian number of its own, over the root of how many
    there are. Cells move with the flow and fall into other pixels; one that none falls into gets new ones.
    """
    channels, frames, height, width = shape
    generator = torch.Generator().manual_seed(seed)
    pixel = torch.tensor([size[0] / height, size[1] / width])  # in pixels of the clip, (row, column)
    corners = torch.cartesian_prod(torch.arange(height), torch.arange(width)).float()
    inner = (torch.cartesian_prod(torch.arange(CELLS), torch.arange(CELLS)) + 0.5) / CELLS
    places, cells = torch.empty(0, 2), torch.empty(channels, 0)
    noise = torch.empty(channels, frames, height * width)
    shown = torch.linspace(0, len(flow), frames).round().long().tolist()
    for i in range(len(flow) + 1):
        for j in (j for j, frame in enumerate(shown) if frame == i):
            empty = torch.bincount(_pixels(places, pixel, height, width)[0], minlength=height * width) == 0
            new = ((corners[empty][:, None] + inner) * pixel).flatten(0, 1)
            places = torch.cat([places, new])
            cells = torch.cat([cells, torch.randn(channels, len(new), generator=generator)], dim=1)
            inside_at, inside = _pixels(places, pixel, height, width)
            count = torch.bincount(inside_at, minlength=height * width)
            total = torch.zeros(channels, height * width).index_add_(1, inside_at, cells[:, inside])
            noise[:, j] = total / count.sqrt()
        if i < len(flow):
            row, column = (places[:, k].floor().long().clamp(0, size[k] - 1) for k in (0, 1))
            places = places + flow[i][row, column].flip(-1)
    return noise.unflatten(2, (height, width))


def _pixels(places: Tensor, pixel: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The latent pixel of each of the places `[n, 2]` that lie in the picture, and which do."""
    row, column = (places / pixel).floor().long().unbind(-1)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return (row * width + column)[inside], inside
