"""Image models from folders in the layout of Stable Diffusion 1.5 and 2 or InstructPix2Pix, with the same distrust as
video models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from ..backbones import ModelFolder, try_without_data
from ..backbones.codec import picture_codec
from ..backbones.folder import read_config
from ..backbones.layout import SCHEDULER, Parts, parts_in_folders
from ..backbones.loading import META, diffusers_model, explained, quietly, text_kind
from ..backbones.model import VideoModel
from ..backbones.text import load_text, tokenizer_of
from ..bundled.models import BUNDLED, BUNDLED_IMAGES, SHARING, SamplingDefaults
from ..diffusion.schedulers import process_of
from ..errors import MotionError, shown
from .denoiser import ImageDenoiser

CLASS = "UNet2DConditionModel"
EDITING = "StableDiffusionInstructPix2PixPipeline"  # the one whose UNet takes a picture and makes what it becomes
USUAL = SamplingDefaults(steps=50, guidance=7.5, width=512, height=512)


class ImageModelFolder(ModelFolder):
    """An image model whose parts were seen to be whole and to fit together."""

    def load(self, name: str, defaults: SamplingDefaults, device: torch.device, dtype: torch.dtype) -> VideoModel:
        """As a model of videos, whose denoiser is an ImageDenoiser; on the meta device without reading any weights.

        Raises MotionError, naming the part, for one that cannot be loaded.
        """
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        parts = self.parts
        with quietly():
            with explained(self.folder, "vae"):
                codec = picture_codec(parts.vae, dtype, device)
            with explained(self.folder, "unet"):
                unet = diffusers_model(UNet2DConditionModel, parts.denoiser, dtype, device)
                denoiser = ImageDenoiser.of(unet, self.process, codec.scale)
            with explained(self.folder, "text_encoder"):
                text = load_text(parts.text_encoder, self.tokenizer, dtype, device)
        return VideoModel(name, denoiser, codec, text, defaults, device, dtype)

    def usual(self) -> SamplingDefaults:
        """What such models are usually sampled with, at the size of this one's pictures."""
        side, levels = self.parts.denoiser.config.get("sample_size"), self.parts.vae.config["block_out_channels"]
        if not isinstance(side, int) or not 0 < side <= 512:
            return USUAL
        pixels = side * 2 ** (len(levels) - 1)
        return replace(USUAL, width=pixels, height=pixels)


def open_image_model(name_or_folder: str | Path) -> ImageModelFolder:
    """A bundled image model by name, or one in a folder, that will load and run: every configuration was read, every
    shape compared with the weights', and a small video sent through all parts without data.

    Raises MotionError, naming what is missing or wrong, for a folder that is not such a model.
    """
    name = str(name_or_folder)
    bundled = BUNDLED_IMAGES.get(name)
    path = bundled[0] if bundled else Path(name_or_folder).expanduser()
    others = BUNDLED[SHARING[name]][0] if name in SHARING else path
    with explained(path):
        parts = parts_in_folders(path, "an image model", others)
        _check_kind(parts)
        process = process_of(parts.scheduler, str(others / SCHEDULER))
    with explained(path, "text_encoder"):
        text_kind(parts.text_encoder)
    with quietly(), explained(path, "tokenizer"):
        tokenizer = tokenizer_of(parts.text_encoder, others / "tokenizer")
    opened = ImageModelFolder(parts, tokenizer, process)
    try_without_data(parts, lambda: opened.load(path.name, USUAL, META, torch.float32))
    return opened


def load_image_model(
    name_or_folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> VideoModel:
    """Load a bundled image model by name, or one from a folder, as a model of videos, whose denoiser is an
    ImageDenoiser. Never uses the network.

    Raises MotionError as `open_image_model` does.
    """
    opened = open_image_model(name_or_folder)
    bundled = BUNDLED_IMAGES.get(str(name_or_folder))
    defaults = bundled[1] if bundled else opened.usual()
    return opened.load(opened.folder.name, defaults, torch.device(device), dtype)


def _check_kind(parts: Parts) -> None:
    """Raises MotionError, naming the kind, for a model that is not of Stable Diffusion 1.5's or 2's, or of
    InstructPix2Pix's."""
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
    if taken == made:
        return
    if taken != 2 * made:
        raise MotionError(
            f"{config} says in_channels {shown(taken, 40)}, but the latents have {shown(made, 40)}: use a model that "
            f"makes pictures, or one of InstructPix2Pix's kind, which takes twice as many; models that fill in "
            f"pictures are not supported."
        )
    index = folder / "model_index.json"
    pipeline = read_config(index).get("_class_name", EDITING) if index.is_file() else EDITING
    if pipeline != EDITING:  # a model of depth, for example, takes a picture as well
        raise MotionError(
            f"{index} describes a {shown(pipeline, 80)}, but of models that take a picture only those of "
            f"InstructPix2Pix's kind are supported, whose name there is {EDITING}."
        )
