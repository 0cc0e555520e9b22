"""The autoencoder of a diffusers folder as ComfyUI's VAE, sized by the folder's configuration."""

from __future__ import annotations

from pathlib import Path

import comfy.latent_formats
import comfy.sd
import torch

from ...motion_lib.errors import MotionError
from .parts import read_json, state_dict

STABLE_DIFFUSION = [128, 256, 512, 512]  # widths of the autoencoder that SD 1 and 2 share
PICTURES, SIDE = 64, 3  # how many, and latent pixels of a side


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


def fit_previews(latent_format: comfy.latent_formats.LatentFormat, folder: Path, vae: comfy.sd.VAE) -> None:
    """Give the samplers' previews the colours of this autoencoder.

    ComfyUI shows a linear map of latents, which it knows for Stable Diffusion's own. For another one it is the least
    squares fit to what random latents, the same all over a small picture, look like.
    """
    if read_json(folder / "vae" / "config.json")["block_out_channels"] == STABLE_DIFFUSION:
        return
    drawn = torch.randn(PICTURES, vae.latent_channels, generator=torch.Generator().manual_seed(0))
    pictures = vae.decode((drawn / latent_format.scale_factor)[:, :, None, None].expand(-1, -1, SIDE, SIDE))
    colours = pictures.float().mean(dim=(1, 2)) * 2 - 1
    known = torch.cat([drawn, torch.ones(PICTURES, 1)], dim=1)
    fitted = torch.linalg.lstsq(known, colours.to(known)).solution.tolist()
    latent_format.latent_rgb_factors, latent_format.latent_rgb_factors_bias = fitted[:-1], fitted[-1]
    latent_format.taesd_decoder_name = None
