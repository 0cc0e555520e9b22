"""Random weights under the names that the workflows for Wan ask for, as small as ComfyUI's own loaders take them, and a
node in the place of its text encoder, whose size is fixed."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from motion_lib.sprites.recipe.wan.dit import Transformer
from motion_lib.sprites.recipe.wan.vae import VideoAutoencoder

TEXT = 4096  # as all of Wan's; older versions of ComfyUI know no other
TRANSFORMERS = (
    "wan2.1_t2v_1.3B_fp16",
    "wan2.2_t2v_high_noise_14B_fp8_scaled",
    "wan2.2_t2v_low_noise_14B_fp8_scaled",
)
NODE = f"""
import torch


class SmallText:
    def tokenize(self, text, **named):
        return text

    def encode_from_tokens_scheduled(self, text, **named):
        generator = torch.Generator().manual_seed(sum(text.encode()))
        return [[torch.randn(1, 5, {TEXT}, generator=generator), {{}}]]


class SmallTextLoader:
    RETURN_TYPES, FUNCTION, CATEGORY = ("CLIP",), "load", "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {{"required": {{}}}}

    def load(self):
        return (SmallText(),)


NODE_CLASS_MAPPINGS = {{"SmallTextLoader": SmallTextLoader}}
"""


def add_small_wans(base: Path) -> None:
    torch.manual_seed(0)
    folders = {name: base / "models" / name for name in ("diffusion_models", "vae")}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    for name in TRANSFORMERS:
        made = Transformer(256, 64, 3, TEXT)
        tensors = {key: (value + 0.02 * torch.randn_like(value)).half() for key, value in made.state_dict().items()}
        save_file(tensors, folders["diffusion_models"] / f"{name}.safetensors")
    weights = {key: value.half().contiguous() for key, value in VideoAutoencoder(dim=4).state_dict().items()}
    save_file(weights, folders["vae"] / "wan_2.1_vae.safetensors")
    (base / "custom_nodes" / "small_text.py").write_text(NODE)
