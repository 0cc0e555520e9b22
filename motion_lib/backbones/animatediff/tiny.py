"""A UNetMotionModel with random weights, small enough to run in milliseconds."""

from __future__ import annotations

import torch
from diffusers.models.unets.unet_motion_model import UNetMotionModel
from torch import nn

from ...diffusion.process import Process
from ..family import Tiny
from ..temporal import randomise
from .denoiser import AnimateDiffDenoiser

TEXT_WIDTH = 8
CONFIG = {
    "down_block_types": ("CrossAttnDownBlockMotion", "DownBlockMotion"),
    "up_block_types": ("UpBlockMotion", "CrossAttnUpBlockMotion"),
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": TEXT_WIDTH,
    "num_attention_heads": 2,
    "motion_num_attention_heads": 2,
    "motion_max_seq_length": 8,
}


def tiny(dtype: torch.dtype, process: Process) -> Tiny:
    unet = UNetMotionModel(**CONFIG)  # type: ignore[arg-type]
    randomise(unet, 0)

    def conditioning(videos: int, seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(videos, 3, TEXT_WIDTH, generator=generator, dtype=dtype)

    return Tiny(AnimateDiffDenoiser(nn.Module.to(unet, dtype), process), conditioning)
