"""Video models in folders: what family they are of, whether they are whole, and loading them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..bundled.models import BUNDLED
from ..diffusion.process import Process
from ..diffusion.schedulers import process_of
from ..errors import MotionError, shown
from .codec import Codec, PictureCodec
from .family import FAMILIES, Family, family_of
from .folder import STEMS, Part, read_config, weight_files
from .loading import META, diffusers_model, explained, quietly, text_encoder
from .model import SamplingDefaults, VideoModel
from .tokens import check_words, load_tokenizer, missing_words

SCHEDULER = "scheduler/scheduler_config.json"


@dataclass(frozen=True)
class ModelFolder:
    """A text-to-video model in diffusers layout whose parts were seen to be whole and to fit together."""

    folder: Path
    unet: Part
    vae: Part
    text_encoder: Part
    tokenizer: Any
    scheduler: dict[str, Any]
    process: Process

    def load(self, name: str, defaults: SamplingDefaults, device: torch.device, dtype: torch.dtype) -> VideoModel:
        """Its parts on a device; on the meta device without reading any weights.

        Raises MotionError, naming the part, for one that cannot be loaded.
        """
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        with quietly():
            with explained(self.folder, "unet"):
                family = family_of(self.unet.config["_class_name"])
                denoiser = family.load(self.unet, self.process, device, dtype)
            with explained(self.folder, "vae"):
                codec = PictureCodec(diffusers_model(AutoencoderKL, self.vae, dtype, device))
            with explained(self.folder, "text_encoder"):
                encoder = text_encoder(self.text_encoder, dtype, device)
                check_words(self.tokenizer, encoder.config.vocab_size)
        return VideoModel(name, denoiser, codec, self.tokenizer, encoder, defaults, device, dtype)


def open_model(folder: Path) -> ModelFolder:
    """A model folder that will load and run: every configuration was read, every shape compared with the weights', and
    a small video sent through all parts without data. That takes neither weights nor memory, and never the network.

    Raises MotionError, naming the file or the part, for a folder that is not such a model.
    """
    with explained(folder):
        _check_files(folder)
        unet, vae, encoder = (Part.open(folder / part, stems) for part, stems in STEMS.items())
        family = unet.config.get("_class_name")
        if family not in tuple(FAMILIES):
            raise MotionError(
                f"{folder / 'unet' / 'config.json'} describes a {shown(family, 80)}, but only these are supported: "
                f"{', '.join(FAMILIES)}."
            )
        scheduler = read_config(folder / SCHEDULER)
        process = process_of(scheduler, str(folder / SCHEDULER))
    with quietly(), explained(folder, "tokenizer"):
        tokenizer = load_tokenizer(folder / "tokenizer")
    opened = ModelFolder(folder, unet, vae, encoder, tokenizer, scheduler, process)
    _run_without_data(opened.load(folder.name, SamplingDefaults(), META, torch.float32), folder)
    return opened


def load_model(
    name_or_folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> VideoModel:
    """Load a bundled model by name, or a text-to-video model from a folder in diffusers layout. Never uses the network.

    Raises MotionError, naming what is missing or wrong, for a folder that is not such a model.
    """
    name = str(name_or_folder)
    with explained(Path(name)):
        folder, defaults = BUNDLED.get(name) or (Path(name_or_folder).expanduser(), SamplingDefaults())
        device = torch.device(device)
    return open_model(folder).load(name if name in BUNDLED else folder.name, defaults, device, dtype)


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        known = ", ".join(BUNDLED)
        raise MotionError(f"There is no model folder {folder}: give a folder in diffusers layout, or one of: {known}.")
    configurations = [f"{part}/config.json" for part in STEMS]
    missing = [name for name in [*configurations, SCHEDULER] if not (folder / name).is_file()]
    missing += [f"tokenizer/{name}" for name in missing_words(folder / "tokenizer")]
    missing += [f"{part}/ weights" for part, stems in STEMS.items() if not weight_files(folder / part, stems)]
    if missing:
        raise MotionError(f"{folder} is not a text-to-video model in diffusers layout: missing {', '.join(missing)}.")


def _run_without_data(model: VideoModel, folder: Path) -> None:
    """Send a prompt, a picture and a latent video through a model on the meta device, where only shapes are computed.

    Raises MotionError, naming the part, for one that cannot run or gives another shape than the next part takes.
    """
    shape = model.latent_shape(2, 8 * model.codec.pixels_per_latent, 8 * model.codec.pixels_per_latent)
    with torch.no_grad():
        with explained(folder, "text_encoder"):
            words = model.encode_prompt(["a"])
        with explained(folder, "vae"):
            pixels = torch.empty(2, 3, *(side * model.codec.pixels_per_latent for side in shape[3:]), device=META)
            _same_shape(model.codec.encode(pixels), shape)
            _same_shape(model.codec.decode(torch.empty(shape, device=META)), pixels.shape)
        with explained(folder, "unet"):
            at = torch.zeros(1, dtype=torch.long, device=META)
            _same_shape(model.denoiser(torch.empty(shape, device=META), at, words), shape)


def _same_shape(found: torch.Tensor, expected: tuple[int, ...]) -> None:
    if found.shape != expected:
        raise ValueError(f"it makes {list(found.shape)} where {list(expected)} was expected")


__all__ = [
    "FAMILIES",
    "Codec",
    "Family",
    "ModelFolder",
    "SamplingDefaults",
    "VideoModel",
    "family_of",
    "load_model",
    "open_model",
]
