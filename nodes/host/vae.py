"""The autoencoder of a diffusers folder as ComfyUI's VAE, sized by the folder's configuration."""

from __future__ import annotations

from pathlib import Path

import comfy.sd
import torch

from ...motion_lib.errors import MotionError
from .parts import read_json, state_dict


def load_vae(folder: Path) -> comfy.sd.VAE:
    """Raises MotionError for an autoencoder that ComfyUI's own AutoencoderKL cannot be."""
    config = read_json(folder / "vae" / "config.json")
    widths = config["block_out_channels"]
    if len(widths) != 4 or any(width % widths[0] for width in widths):
        raise MotionError(
            f"The VAE in {folder} has the widths {widths}, but four multiples of the first are supported."
        )
    layout = {
        "double_z": True,
        "z_channels": config["latent_channels"],
        "resolution": 256,
        "in_channels": config["in_channels"],
        "out_ch": config["out_channels"],
        "ch": widths[0],
        "ch_mult": [width // widths[0] for width in widths],
        "num_res_blocks": config["layers_per_block"],
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    vae = comfy.sd.VAE(
        sd=state_dict(folder / "vae"),
        config={"params": {"embed_dim": config["latent_channels"], "ddconfig": layout}},
    )
    for module in vae.first_stage_model.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.num_groups = config["norm_num_groups"]  # ComfyUI builds them with 32
    return vae
