"""Points followed through a clip by comparing pictures, in batches and on any device.

Every place of a grid is looked for in the next frame, near where it was: shifts are weighed by how alike the
surroundings are, which gives fractions of a pixel (soft argmin, Kendall et al. 2017, arXiv 1703.04309, eq. 1). Steps
add up to tracks.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE, GRID = 32, 16  # pixels that are compared, and points, along each side
REACH = 5  # pixels that a point is looked for: a step of .31 half image sides
SURROUNDINGS = 4  # pixels
SHARP, LEAST = 0.02, 1e-5  # what counts as alike: a share of the mean squared difference at all shifts, and the least
NEAREST = 2e-5  # what a squared pixel of shift costs: where nothing can be told, points stay


def steps(frames: Tensor) -> tuple[Tensor, Tensor]:
    """How far the surroundings of every place move from each frame to the next, `[b, f − 1, 2, GRID, GRID]` in half
    image sides (right, down), and how clearly, `[b, f − 1, 1, GRID, GRID]` from 0 to 1; of frames `[b, f, 3, h, w]` in
    0..1."""
    count = frames.shape[1] - 1
    pictures = F.adaptive_avg_pool2d(frames.flatten(0, 1), (SIDE, SIDE)).unflatten(0, frames.shape[:2])
    before, after = pictures[:, :-1].flatten(0, 1), pictures[:, 1:].flatten(0, 1)
    around = F.pad(after, (REACH,) * 4, mode="replicate")
    shifts = [(x, y) for y in range(-REACH, REACH + 1) for x in range(-REACH, REACH + 1)]
    unlike, stride = [], SIDE // GRID
    for x, y in shifts:
        moved = around[:, :, REACH + y : REACH + y + SIDE, REACH + x : REACH + x + SIDE]
        apart = (before - moved).square().mean(dim=1, keepdim=True)
        padding = (SURROUNDINGS - stride) // 2
        cost = F.avg_pool2d(apart, SURROUNDINGS, stride, padding, count_include_pad=False)
        unlike.append(cost[:, 0] + NEAREST * (x * x + y * y))
    costs = torch.stack(unlike, dim=1)
    share = (-costs / (SHARP * costs.mean(dim=1, keepdim=True) + LEAST)).softmax(dim=1)
    way = torch.tensor(shifts, dtype=share.dtype, device=share.device) * (2 / SIDE)
    step = torch.einsum("nshw,sc->nchw", share, way)
    spread = -(share * share.clamp(min=1e-9).log()).sum(dim=1, keepdim=True)
    clear = 1 - spread / math.log(len(shifts))
    return step.unflatten(0, (-1, count)), clear.unflatten(0, (-1, count))


def tracks(frames: Tensor) -> Tensor:
    """`[b, 5, f, GRID, GRID]` of points that lie on a grid in the first frame: their last step and their way since then
    (right, down), in half image sides, and how clearly they were seen to move; 0 in the first frame."""
    step, clear = steps(frames)
    b, count = step.shape[:2]
    centre = (torch.arange(GRID, device=step.device, dtype=step.dtype) + 0.5) * (2 / GRID) - 1
    start = torch.stack(torch.meshgrid(centre, centre, indexing="xy"), dim=-1).expand(b, -1, -1, -1)
    at, found = start, [torch.zeros_like(step[:, 0, :1]).expand(-1, 5, -1, -1)]
    for t in range(count):
        both = torch.cat([step[:, t], clear[:, t]], dim=1)
        here = F.grid_sample(both, at, padding_mode="border", align_corners=False)
        at = (at + here[:, :2].permute(0, 2, 3, 1)).clamp(-1.2, 1.2)
        found.append(torch.cat([here[:, :2], (at - start).permute(0, 3, 1, 2), here[:, 2:]], dim=1))
    return torch.stack(found, dim=2)
