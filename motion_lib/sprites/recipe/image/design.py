"""The size of `sprite_image`: Stable Diffusion 1.5's layout, with the widths of sprite_t2v's spatial layers and without
its last level, whose latents of 2×2 hold next to nothing."""

from __future__ import annotations

from ..design import SIZE, TEXT_WIDTH, UNET

WIDTHS = UNET["block_out_channels"][:3]
IMAGE_UNET = {
    "sample_size": SIZE // 8,
    "block_out_channels": WIDTHS,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": UNET["layers_per_block"],
    "attention_head_dim": tuple(width // UNET["attention_head_dim"] for width in WIDTHS),  # numbers of heads
    "norm_num_groups": UNET["norm_num_groups"],
    "cross_attention_dim": TEXT_WIDTH,
}
