"""Holding a video to a camera's path while it is sampled, without learning anything.

At every step the model says what the clean video would be. If the camera moves by a known path, all frames show one
world: each is replaced by the mean of all frames as they look from its own place. What the prompt asks for is left to
the model; where it is seen from is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .camera_path import CameraPath, pixel_centres
from .errors import MotionError


@dataclass(frozen=True)
class CameraAlignment:
    """strength: how far frames are moved to their common world, 0 not at all and 1 all the way. start, end: the part of
    sampling in which it acts, 0 at pure noise and 1 at the clean end; the more is left to the model at the end, the
    freer an object is to move on its own. apart: `[f, h, w]` from 0 to 1, what does not belong to the background and is
    left alone."""

    path: CameraPath
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    apart: Tensor | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.strength) and 0 <= self.strength <= 1):
            raise MotionError(f"The strength of the camera's motion is {self.strength}, but it must lie from 0 to 1.")
        if not 0 <= self.start <= self.end <= 1:
            raise MotionError(f"start {self.start} and end {self.end} must satisfy 0 ≤ start ≤ end ≤ 1.")

    def acts_at(self, progress: float) -> bool:
        return self.strength > 0 and self.start <= progress <= self.end

    def __call__(self, clean: Tensor) -> Tensor:
        """Clean latents `[b, c, f, h, w]` held to the path."""
        videos, channels, frames = clean.shape[:3]
        path = self.path.resample(frames)
        # Points along each side of a pixel, where another frame shows the same larger.
        finest = [math.ceil(round(float((path.log_zoom.max() - own).exp()), 2)) for own in path.log_zoom]
        path = path.to(clean.device)
        apart = self._apart(clean)
        exact = clean.float()
        source = torch.cat([exact * (1 - apart), (1 - apart).expand(videos, 1, *apart.shape[2:])], dim=1)
        side = torch.tensor([clean.shape[4], clean.shape[3]], device=clean.device)
        out = torch.stack([_seen_from(path, i, source, side, fine) for i, fine in enumerate(finest)], dim=2)
        seen, weight = out[:, :channels], out[:, channels:]
        # Where hardly a frame sees the background, nothing is known of it.
        mean = torch.where(weight > 0.5, seen / weight.clamp(min=0.5), exact)
        return torch.lerp(exact, mean, self.strength * (1 - apart)).to(clean)

    def _apart(self, clean: Tensor) -> Tensor:
        """`[1, 1, f, h, w]`."""
        if self.apart is None:
            return torch.zeros(1, 1, *clean.shape[2:], device=clean.device)
        given = self.apart.to(clean.device, torch.float32)[None, None]
        return F.interpolate(given, size=clean.shape[2:], mode="trilinear", align_corners=False)


def _seen_from(path: CameraPath, i: int, source: Tensor, side: Tensor, fine: int) -> Tensor:
    """The sum over frames of what they show, as frame i sees it, `[b, c, h, w]`: frames that show it larger are
    averaged over `fine`² points a pixel, frames that show it smaller count less. side: (w, h)."""
    videos, _, frames, height, width = source.shape
    larger, device = path.log_zoom - path.log_zoom[i], source.device
    points = path.to_world(pixel_centres((fine * height, fine * width), device), slice(i, i + 1))[0]
    grid = path.to_frames(points) * (min(height, width) / side)  # [f, n, 2], the picture from −1 to 1
    # Between the middles of the outermost pixels, because beyond them a picture can only be continued.
    inside = (grid.abs() < 1 - 0.9 / side).all(dim=-1).float() * larger.clamp(max=0).mul(2).exp()[:, None]
    grid, inside = (x.unflatten(1, (fine * height, fine * width)) for x in (grid, inside))
    read = F.grid_sample(
        source.transpose(1, 2).flatten(0, 1),
        grid.repeat(videos, 1, 1, 1),
        mode="bicubic",
        padding_mode="border",
        align_corners=False,
    )
    return F.avg_pool2d((read.unflatten(0, (videos, frames)) * inside[None, :, None]).sum(dim=1), fine)


def apart_from_camera(latents: Tensor, path: CameraPath, threshold: float = 0.5) -> Tensor:
    """Where a clip does not move with its camera, `[f, h, w]`: how far its latents `[1, c, f, h, w]` are from what all
    frames agree on, 1 from `threshold` of the largest distance on, widened by one place."""
    away = (latents.float() - CameraAlignment(path)(latents.float())).norm(dim=1)
    wide = F.max_pool2d(away, 3, stride=1, padding=1)[0]
    return (wide / (threshold * wide.max().clamp(min=1e-6))).clamp(max=1)
