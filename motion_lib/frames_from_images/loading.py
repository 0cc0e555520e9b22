"""Image models from folders in the layout of Stable Diffusion 1.5 and 2, with the same distrust as video models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..backbones import run_without_data
from ..backbones.codec import picture_codec
from ..backbones.layout import SCHEDULER, Parts, parts_in_folders
from ..backbones.loading import META, diffusers_model, explained, quietly, text_kind
from ..backbones.model import VideoModel
from ..backbones.text import load_text, tokenizer_of
from ..bundled.models import SamplingDefaults
from ..diffusion.process import Process
from ..diffusion.schedulers import process_of
from ..errors import MotionError, shown
from .denoiser import ImageDenoiser

CLASS = "UNet2DConditionModel"
USUAL = SamplingDefaults(steps=50, guidance=7.5, width=512, height=512)


def load_image_model(
    folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> VideoModel:
    """An image model as a model of videos, whose denoiser is an ImageDenoiser. Never uses the network.

    Before memory is taken, every configuration is read, every shape compared with the weights', and a small video sent
    through all parts without data.
    Raises MotionError, naming what is missing or wrong, for a folder that is not such a model.
    """
    path = Path(folder).expanduser()
    with explained(path):
        parts = parts_in_folders(path, "an image model")
        _check_kind(parts)
        process = process_of(parts.scheduler, str(path / SCHEDULER))
    with explained(path, "text_encoder"):
        text_kind(parts.text_encoder)
    with quietly(), explained(path, "tokenizer"):
        tokenizer = tokenizer_of(parts.text_encoder, path / "tokenizer")
    run_without_data(_built(parts, process, tokenizer, META, torch.float32), parts)
    return _built(parts, process, tokenizer, torch.device(device), dtype)


def _built(parts: Parts, process: Process, tokenizer: Any, device: torch.device, dtype: torch.dtype) -> VideoModel:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    with quietly():
        with explained(parts.folder, "unet"):
            unet = diffusers_model(UNet2DConditionModel, parts.denoiser, dtype, device)
            denoiser = ImageDenoiser.of(unet, process)
        with explained(parts.folder, "vae"):
            codec = picture_codec(parts.vae, dtype, device)
        with explained(parts.folder, "text_encoder"):
            text = load_text(parts.text_encoder, tokenizer, dtype, device)
    side = unet.config.sample_size
    defaults = USUAL
    if isinstance(side, int) and 0 < side <= 512:
        pixels = side * codec.pixels_per_latent
        defaults = replace(USUAL, width=pixels, height=pixels)
    return VideoModel(parts.folder.name, denoiser, codec, text, defaults, device, dtype)


def _check_kind(parts: Parts) -> None:
    """Raises MotionError, naming the kind, for a model that is not of Stable Diffusion 1.5's or 2's."""
    folder, unet, vae = parts.folder, parts.denoiser, parts.vae
    config = folder / parts.named / "config.json"
    if (found := unet.config.get("_class_name")) != CLASS:
        raise MotionError(f"{config} describes a {shown(found, 80)}, but for frames from images it must be a {CLASS}.")
    if unet.config.get("addition_embed_type") is not None or (folder / "text_encoder_2").exists():
        raise MotionError(
            f"{folder} is a model of SDXL's kind, which is not loaded here: use Stable Diffusion 1.5 or 2, or SDXL in "
            f"ComfyUI."
        )
    taken, made = unet.config.get("in_channels", 4), vae.config.get("latent_channels", 4)
    if taken != made:
        raise MotionError(
            f"{config} says in_channels {shown(taken, 40)}, but the latents have {shown(made, 40)}: models that edit "
            f"or fill in pictures, such as InstructPix2Pix, are not supported; use a model that only makes pictures."
        )
