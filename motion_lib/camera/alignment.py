"""Holding a video to a camera's path while it is sampled, without learning anything.

At every step the model says what the clean video would be. If the camera moves by a known path, all frames show one
world: each is replaced by the mean of all frames as they look from its own place. What the prompt asks for is left to
the model; where it is seen from is not.

Early in sampling frames do not agree yet, because the model expects another video than it is made to draw, and a mean
of all would be smeared along the camera's way until stripes are all that is left. There, frames count less the
further they are from the middle of the video, and the prompt is given more weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MotionError
from .path import CameraPath, pixel_centres

EARLY = 0.4  # of sampling
FARTHEST = 1e-4  # early: the weight of the first and last frame against the middle one's; its logarithm falls evenly


@dataclass(frozen=True)
class CameraAlignment:
    """A camera's path, and how strictly a video is held to it."""

    path: CameraPath
    strength: float = 1.0
    """How strictly the frames are held to the camera's path: 1 is all the way, 0 is not at all, bit for bit."""
    start: float = 0.0
    """The point of sampling at which the camera's path begins to act: 0 is pure noise. Motion is decided early."""
    end: float = 1.0
    """The point of sampling at which the camera's path stops acting: 1 is the finished video. A lower value leaves
    objects freer to move on their own."""
    apart: Tensor | None = None
    """`[f, h, w]` from 0 to 1: what does not belong to the background and is left alone."""
    emphasis: float = 1.75
    """The factor on the guidance (cfg) in the first part of sampling. There, a model that expects a still camera would
    rather change the background than move it; 1 leaves the guidance as it is."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.strength) and 0 <= self.strength <= 1):
            raise MotionError(f"The strength of the camera's motion is {self.strength}, but it must lie from 0 to 1.")
        if not 0 <= self.start <= self.end <= 1:
            raise MotionError(f"start {self.start} and end {self.end} must satisfy 0 ≤ start ≤ end ≤ 1.")
        if not (math.isfinite(self.emphasis) and self.emphasis > 0):
            raise MotionError(f"The emphasis on the prompt is {self.emphasis}, but it must be greater than 0.")

    def acts_at(self, progress: float) -> bool:
        return self.strength > 0 and self.start <= progress <= self.end

    def guidance(self, usual: float) -> float | Callable[[float], float]:
        """Classifier-free guidance by progress: the usual one, and more of it while it is early. At 1 there is none to
        strengthen, and each step stays one pass."""
        if usual == 1:
            return usual
        return lambda progress: usual * (self.emphasis if self.acts_at(progress) and progress <= EARLY else 1.0)

    def __call__(self, clean: Tensor, progress: float = 1.0) -> Tensor:
        """A guide for `sample`: clean latents `[b, c, f, h, w]` held to the path, as at this point of sampling; the
        same tensor where it does not act."""
        return self.held(clean, progress <= EARLY) if self.acts_at(progress) else clean

    def held(self, clean: Tensor, early: bool) -> Tensor:
        """Clean latents `[b, c, f, h, w]` held to the path, early in sampling or later."""
        apart, exact = self._apart(clean), clean.float()
        world = _World(self.path.resample(clean.shape[2]), apart, exact)
        if early:
            mean = world.mean(exact, FARTHEST)
        else:
            mean = world.mean(exact)
            # Reading between pixels blurs. What the mean lacks is itself in part one world: Tukey's twicing.
            mean = mean + world.mean(exact - mean)
        return torch.lerp(exact, mean, self.strength * (1 - apart)).to(clean)

    def _apart(self, clean: Tensor) -> Tensor:
        """`[1, 1, f, h, w]`."""
        if self.apart is None:
            return torch.zeros(1, 1, *clean.shape[2:], device=clean.device)
        given = self.apart.to(clean.device, torch.float32)[None, None]
        return F.interpolate(given, size=clean.shape[2:], mode="trilinear", align_corners=False)


class _World:
    """What frames `[b, c, f, h, w]` show of one world, seen from each of them. apart: `[1, 1, f, h, w]`."""

    def __init__(self, path: CameraPath, apart: Tensor, like: Tensor):
        # Points along each side of a pixel, where another frame shows the same larger.
        self.finest = [math.ceil(round(float((path.log_zoom.max() - own).exp()), 2)) for own in path.log_zoom]
        self.path, self.background = path.to(like.device), 1 - apart
        self.side = torch.tensor([like.shape[4], like.shape[3]], device=like.device)

    def mean(self, x: Tensor, farthest: float = 1.0) -> Tensor:
        """Each frame as the mean of all that see the background there, and as it is where hardly one does. farthest:
        the weight of the frames farthest from the middle one."""
        videos, channels, frames = x.shape[:3]
        distance = (torch.arange(frames, device=x.device) - (frames - 1) // 2).abs() / max(1, frames // 2)
        weight = (farthest**distance)[:, None, None] * self.background
        source = torch.cat([x * weight, weight.expand(videos, 1, *x.shape[2:])], dim=1)
        # What bicubic takes away beside a frame of great weight would outweigh frames of small weight.
        mode, least = ("bicubic", 0.5) if farthest == 1 else ("bilinear", 0.01 * farthest)
        seen = [self._seen_from(i, source, fine, mode) for i, fine in enumerate(self.finest)]
        seen, weight = torch.stack(seen, dim=2).split([channels, 1], dim=1)
        return torch.where(weight > least, seen / weight.clamp(min=least), x)

    def _seen_from(self, i: int, source: Tensor, fine: int, mode: str) -> Tensor:
        """The sum over frames of what they show, as frame i sees it, `[b, c, h, w]`: frames that show it larger are
        averaged over `fine`² points a pixel, frames that show it smaller count less."""
        path, side = self.path, self.side
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
            mode=mode,
            padding_mode="border",
            align_corners=False,
        )
        return F.avg_pool2d((read.unflatten(0, (videos, frames)) * inside[None, :, None]).sum(dim=1), fine)


def apart_from_camera(latents: Tensor, path: CameraPath, threshold: float = 0.5) -> Tensor:
    """Where a clip does not move with its camera, `[f, h, w]`: how far its latents `[1, c, f, h, w]` are from what all
    frames agree on, 1 from `threshold` of the largest distance on, widened by one place."""
    away = _away(latents.float(), path)
    wide = F.max_pool2d(away, 3, stride=1, padding=1)[0]
    return (wide / (threshold * wide.max().clamp(min=1e-6))).clamp(max=1)


def likeliest_path(latents: Tensor, paths: Sequence[CameraPath]) -> CameraPath:
    """The path by which the camera of a clip most likely moved: the one under which its latents `[1, c, f, h, w]` agree
    best at most places, which are background."""
    return min(paths, key=lambda path: float(_away(latents.float(), path).median()))


def _away(clip: Tensor, path: CameraPath) -> Tensor:
    """How far each place is from what all frames agree on, `[b, f, h, w]`."""
    nothing = clip.new_zeros(1, 1, *clip.shape[2:])
    return (clip - _World(path.resample(clip.shape[2]), nothing, clip).mean(clip)).norm(dim=1)
