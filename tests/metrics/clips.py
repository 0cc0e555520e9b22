"""Rendered clips with known truth, as the measures take them."""

from __future__ import annotations

import torch
from torch import Tensor

from motion_lib.sprites import Scenes, random_scenes, render


def scenes(n: int, seed: int) -> Scenes:
    return random_scenes(n, generator=torch.Generator().manual_seed(seed))


def clips(of: Scenes) -> list[Tensor]:
    """uint8 `[16, 128, 128, 3]` each."""
    return [(clip * 255).round().byte() for clip in render(of).permute(0, 1, 3, 4, 2)]


def noise(seed: int, frames: int = 16, size: int = 128) -> Tensor:
    return torch.randint(256, (frames, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
