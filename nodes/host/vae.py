"""The autoencoder of a diffusers folder as ComfyUI's VAE, sized by the folder's configuration."""

from __future__ import annotations

import comfy.latent_formats
import comfy.sd
import torch

from ...motion_lib.backbones import ModelFolder
from ...motion_lib.backbones.loading import explained, model_fields

STABLE_DIFFUSION = [128, 256, 512, 512]  # widths of the autoencoder that SD 1 and 2 share
PICTURES, SIDE = 64, 3  # how many, and latent pixels of a side


# What ComfyUI's own AutoencoderKL always has, whatever a configuration says; and what is meant where it says nothing.
FIXED = {
    "act_fn": "silu",
    "use_quant_conv": True,
    "use_post_quant_conv": True,
    "mid_block_add_attention": True,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,  # of the latents that the UNets of this family take
}


def load_vae(opened: ModelFolder) -> comfy.sd.VAE:
    """Raises MotionError for an autoencoder that ComfyUI's own AutoencoderKL cannot be."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    with explained(opened.folder, "vae"):
        config = model_fields(AutoencoderKL, opened.parts.vae)
        widths = config["block_out_channels"]
        if len(widths) != 4 or any(width % widths[0] for width in widths):
            raise ValueError(f"its widths are {widths}, but ComfyUI supports four multiples of the first")
        for field, value in FIXED.items():
            if config[field] != value:
                raise ValueError(f"{field} is {config[field]}, but ComfyUI supports {value} alone")
        for field, kind in (("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")):
            if set(config[field]) != {kind}:
                raise ValueError(f"{field} are {', '.join(config[field])}, but ComfyUI supports {kind} alone")
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
            sd=dict(opened.parts.vae.tensors()),
            config={"params": {"embed_dim": config["latent_channels"], "ddconfig": layout}},
        )
        for module in vae.first_stage_model.modules():
            if isinstance(module, torch.nn.GroupNorm):
                module.num_groups = config["norm_num_groups"]  # ComfyUI builds them with 32
        return vae


def fit_previews(latent_format: comfy.latent_formats.LatentFormat, opened: ModelFolder, vae: comfy.sd.VAE) -> None:
    """Give the samplers' previews the colours of this autoencoder.

    ComfyUI shows a linear map of latents, which it knows for Stable Diffusion's own. For another one it is the least
    squares fit to what random latents, the same all over a small picture, look like.
    """
    if opened.parts.vae.config.get("block_out_channels") == STABLE_DIFFUSION:
        return
    drawn = torch.randn(PICTURES, vae.latent_channels, generator=torch.Generator().manual_seed(0))
    pictures = vae.decode((drawn / latent_format.scale_factor)[:, :, None, None].expand(-1, -1, SIDE, SIDE))
    colours = pictures.float().mean(dim=(1, 2)) * 2 - 1
    known = torch.cat([drawn, torch.ones(PICTURES, 1)], dim=1)
    fitted = torch.linalg.lstsq(known, colours.to(known)).solution.tolist()
    latent_format.latent_rgb_factors, latent_format.latent_rgb_factors_bias = fitted[:-1], fitted[-1]
    latent_format.taesd_decoder_name = None
