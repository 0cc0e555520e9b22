"""A UNet3DConditionModel with random weights, small enough to run in milliseconds."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.unets.unet_3d_condition import UNet3DConditionModel
from torch import nn

from ...diffusion.process import Process
from ..family import Tiny
from ..temporal import randomise
from .denoiser import UNet3DDenoiser

TEXT_WIDTH = 8
CONFIG = {  # two levels of ModelScope's blocks
    "block_out_channels": (8, 16),
    "down_block_types": ("CrossAttnDownBlock3D", "CrossAttnDownBlock3D"),
    "up_block_types": ("CrossAttnUpBlock3D", "CrossAttnUpBlock3D"),
    "layers_per_block": 1,
    "attention_head_dim": 4,
    "norm_num_groups": 4,
    "cross_attention_dim": TEXT_WIDTH,
}


def tiny_unet(seed: int = 0, **changes: Any) -> UNet3DConditionModel:
    unet = UNet3DConditionModel(**{**CONFIG, **changes})
    randomise(unet, seed)
    return unet


def tiny(dtype: torch.dtype, process: Process) -> Tiny:
    def conditioning(videos: int, seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(videos, 3, TEXT_WIDTH, generator=generator, dtype=dtype)

    return Tiny(UNet3DDenoiser(nn.Module.to(tiny_unet(), dtype), process), conditioning)
