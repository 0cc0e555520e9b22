"""A model of the real size with random weights: time and memory of a layer do not depend on what it has learned."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..backbones.unet3d.denoiser import UNet3DDenoiser
from ..diffusion.schedule import NoiseSchedule

# ModelScope and ZeroScope: 1.41 billion parameters, 17 temporal layers.
FULL: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": 1024,
    "attention_head_dim": 64,
}
# The same blocks, small: for trying the benchmark where there is no GPU.
SMALL: dict[str, Any] = {
    "block_out_channels": (16, 32),
    "down_block_types": ("CrossAttnDownBlock3D", "CrossAttnDownBlock3D"),
    "up_block_types": ("CrossAttnUpBlock3D", "CrossAttnUpBlock3D"),
    "layers_per_block": 1,
    "cross_attention_dim": 16,
    "attention_head_dim": 8,
    "norm_num_groups": 8,
}
# The autoencoder that goes with it, Stable Diffusion's.
FULL_VAE: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
}
TOKENS = 77
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def random_denoiser(config: dict[str, Any], device: torch.device, dtype: torch.dtype, seed: int = 0) -> UNet3DDenoiser:
    """Every weight Gaussian with a spread of 0.6/√fan-in, drawn on the device, so that nothing grows through the layers
    and half precision stays finite. Layers that start at zero in diffusers are random too."""
    from diffusers.models.unets.unet_3d_condition import UNet3DConditionModel

    with torch.device("meta"):
        unet: Any = UNet3DConditionModel(**config)
    unet = torch.nn.Module.to(unet, dtype).to_empty(device=device)
    draw_weights(unet, device, seed)
    return UNet3DDenoiser(unet, NoiseSchedule.from_config(SCHEDULE))


@torch.no_grad()
def draw_weights(network: torch.nn.Module, device: torch.device, seed: int) -> None:
    """Every weight of a network on this device Gaussian with a spread of 0.6/√fan-in; norms keep what they get."""
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            drawn = torch.randn(parameter.shape, generator=generator, device=device, dtype=torch.float32)
            parameter.copy_(0.6 * parameter[0].numel() ** -0.5 * drawn)
        else:
            parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)


def random_text(config: dict[str, Any], device: torch.device, dtype: torch.dtype, videos: int = 1) -> Tensor:
    """Text embeddings `[b, tokens, width]` of the size of CLIP's."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(videos, TOKENS, config["cross_attention_dim"], generator=generator).to(device, dtype)


def random_latents(frames: int, width: int, height: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Clean latents `[1, 4, f, h, w]` of a video of this many pixels, 8 to a latent."""
    generator = torch.Generator().manual_seed(2)
    return torch.randn(1, 4, frames, height // 8, width // 8, generator=generator).to(device, dtype)
