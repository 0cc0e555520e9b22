"""Model folders in the true layout of ModelScope and ZeroScope, at small size and with random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTextConfig, CLIPTextModel

from motion_lib.bundled.models import BUNDLED
from tests.tiny import tiny_unet

VOCABULARY = 628
MODELS: dict[str, Any] = {}  # what `build` last wrote
SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


LEVELS = {
    "block_out_channels": (8, 8, 16, 16),
    "down_block_types": ("CrossAttnDownBlock3D",) * 3 + ("DownBlock3D",),
    "up_block_types": ("UpBlock3D",) + ("CrossAttnUpBlock3D",) * 3,
    "layers_per_block": 2,
}
FEW_LEVELS = {
    "block_out_channels": (8, 8),
    "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
    "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
}


def build(folder: Path, levels: dict[str, Any] = LEVELS) -> Path:
    """unet (four levels, ModelScope's classes and block names), vae, text_encoder, tokenizer, scheduler.

    levels: FEW_LEVELS have the same kinds of blocks and a sixth of the modules, and load in a fourth of the time.
    """
    torch.manual_seed(0)
    unet = tiny_unet(**levels)
    unet.save_pretrained(folder / "unet")
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=16,
    )
    vae.save_pretrained(folder / "vae")
    config = CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=32,
        bos_token_id=VOCABULARY - 2,
        eos_token_id=VOCABULARY - 1,
    )
    text_encoder = CLIPTextModel(config)
    text_encoder.save_pretrained(folder / "text_encoder")
    MODELS.update(unet=unet, vae=vae, text_encoder=text_encoder)
    shutil.copytree(BUNDLED["sprite_t2v"][0] / "tokenizer", folder / "tokenizer")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    return folder


def build_clip(folder: Path) -> Path:
    """A CLIP with random weights, as transformers saves it."""
    torch.manual_seed(0)
    shutil.copytree(BUNDLED["sprite_t2v"][0] / "tokenizer", folder)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**small, "vocab_size": VOCABULARY, "max_position_embeddings": 32}
    text |= {"bos_token_id": VOCABULARY - 2, "eos_token_id": VOCABULARY - 1}
    vision = {**small, "image_size": 32, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    CLIPImageProcessor().save_pretrained(folder)
    return folder


WEIGHTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}
PICKLES = {
    "unet": "diffusion_pytorch_model.bin",
    "vae": "diffusion_pytorch_model.bin",
    "text_encoder": "pytorch_model.bin",
}
