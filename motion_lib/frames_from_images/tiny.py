"""A UNet2DConditionModel with random weights and the blocks of Stable Diffusion 1.5, small enough to run in
milliseconds."""

from __future__ import annotations

from typing import Any

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from ..backbones.temporal import randomise

TEXT_WIDTH = 8
CONFIG = {
    "sample_size": 8,
    "block_out_channels": (32, 32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "cross_attention_dim": TEXT_WIDTH,
}


def tiny_unet(seed: int = 0, **changes: Any) -> UNet2DConditionModel:
    unet = UNet2DConditionModel(**{**CONFIG, **changes})
    randomise(unet, seed)
    return unet
