"""IMAGE batches of ComfyUI, float `[f, h, w, 3]` in [0, 1], and the frames of motion_lib, uint8 `[f, h, w, 3]`."""

from __future__ import annotations

import torch
from torch import Tensor

from ...motion_lib.errors import MotionError


def frames_of(images: Tensor) -> Tensor:
    """Raises MotionError for an IMAGE that is not an RGB clip."""
    if images.ndim != 4 or images.shape[-1] not in (3, 4):
        raise MotionError(f"The IMAGE has the shape {list(images.shape)}, but [frames, height, width, 3] is needed.")
    return (images[..., :3].float().clamp(0, 1) * 255).round().to(torch.uint8).cpu()


def images_of(frames: Tensor) -> Tensor:
    return frames.float() / 255
