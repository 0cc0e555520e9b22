"""Image models from folders in the layout of Stable Diffusion 1.5 and 2, with the same distrust as video models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..backbones.codec import PictureCodec
from ..backbones.folder import STEMS, Part, read_config, weight_files
from ..backbones.loading import META, diffusers_model, explained, quietly, text_encoder
from ..backbones.model import VideoModel
from ..backbones.tokens import check_words, load_tokenizer, missing_words
from ..bundled.models import SamplingDefaults
from ..diffusion.process import Process
from ..diffusion.schedulers import process_of
from ..errors import MotionError, shown
from .denoiser import ImageDenoiser

SCHEDULER = "scheduler/scheduler_config.json"
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
        _check_files(path)
        parts = {part: Part.open(path / part, stems) for part, stems in STEMS.items()}
        _check_kind(path, parts["unet"], parts["vae"])
        process = process_of(read_config(path / SCHEDULER), str(path / SCHEDULER))
    with quietly(), explained(path, "tokenizer"):
        tokenizer = load_tokenizer(path / "tokenizer")
    _run_without_data(_built(path, parts, process, tokenizer, META, torch.float32), path)
    return _built(path, parts, process, tokenizer, torch.device(device), dtype)


def _built(
    folder: Path, parts: dict[str, Part], process: Process, tokenizer: Any, device: torch.device, dtype: torch.dtype
) -> VideoModel:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    with quietly():
        with explained(folder, "unet"):
            unet = diffusers_model(UNet2DConditionModel, parts["unet"], dtype, device)
            denoiser = ImageDenoiser.of(unet, process)
        with explained(folder, "vae"):
            codec = PictureCodec(diffusers_model(AutoencoderKL, parts["vae"], dtype, device))
        with explained(folder, "text_encoder"):
            encoder = text_encoder(parts["text_encoder"], dtype, device)
            check_words(tokenizer, encoder.config.vocab_size)
    side = unet.config.sample_size
    defaults = USUAL
    if isinstance(side, int) and 0 < side <= 512:
        pixels = side * codec.pixels_per_latent
        defaults = replace(USUAL, width=pixels, height=pixels)
    return VideoModel(folder.name, denoiser, codec, tokenizer, encoder, defaults, device, dtype)


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise MotionError(f"There is no model folder {folder}: give an image model's folder in diffusers layout.")
    missing = [
        name for name in [*(f"{part}/config.json" for part in STEMS), SCHEDULER] if not (folder / name).is_file()
    ]
    missing += [f"tokenizer/{name}" for name in missing_words(folder / "tokenizer")]
    missing += [f"{part}/ weights" for part, stems in STEMS.items() if not weight_files(folder / part, stems)]
    if missing:
        raise MotionError(f"{folder} is not an image model in diffusers layout: missing {', '.join(missing)}.")


def _check_kind(folder: Path, unet: Part, vae: Part) -> None:
    """Raises MotionError, naming the kind, for a model that is not of Stable Diffusion 1.5's or 2's."""
    config = folder / "unet" / "config.json"
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


def _run_without_data(model: VideoModel, folder: Path) -> None:
    """Send a prompt, pictures and latents through a model on the meta device, where only shapes are computed.

    Raises MotionError, naming the part, for one that cannot run or gives another shape than the next part takes.
    """
    unit = model.codec.pixels_per_latent
    shape = model.latent_shape(2, 8 * unit, 8 * unit)
    with torch.no_grad():
        with explained(folder, "text_encoder"):
            words = model.encode_prompt(["a"])
        with explained(folder, "vae"):
            _same_shape(model.codec.encode(torch.empty(2, 3, 8 * unit, 8 * unit, device=META)), shape)
            _same_shape(model.codec.decode(torch.empty(shape, device=META)), (2, 3, 8 * unit, 8 * unit))
        with explained(folder, "unet"):
            at = torch.zeros(1, dtype=torch.long, device=META)
            _same_shape(model.denoiser(torch.empty(shape, device=META), at, words), shape)


def _same_shape(found: torch.Tensor, expected: tuple[int, ...]) -> None:
    if found.shape != expected:
        raise ValueError(f"it makes {list(found.shape)} where {list(expected)} was expected")
