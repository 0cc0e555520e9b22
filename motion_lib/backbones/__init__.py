"""Video models in folders: what family they are of, whether they are whole, and loading them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..bundled.models import BUNDLED, BUNDLED_IMAGES
from ..diffusion.process import Process
from ..diffusion.schedulers import process_of
from ..errors import MotionError
from .codec import Codec
from .family import FAMILIES, Family, family_of
from .layout import SCHEDULER, SECOND, Parts, parts_of
from .loading import META, explained, quietly, text_kind
from .model import SamplingDefaults, VideoModel
from .text import load_text, tokenizer_of

FEW_FRAMES = 5  # which every codec takes


@dataclass(frozen=True)
class ModelFolder:
    """A text-to-video model whose parts were seen to be whole and to fit together."""

    parts: Parts
    tokenizer: Any
    process: Process

    @property
    def folder(self) -> Path:
        return self.parts.folder

    def load(self, name: str, defaults: SamplingDefaults, device: torch.device, dtype: torch.dtype) -> VideoModel:
        """Its parts on a device; on the meta device without reading any weights.

        Raises MotionError, naming the part, for one that cannot be loaded.
        """
        parts = self.parts
        with quietly():
            with explained(self.folder, parts.named):
                family = family_of(parts.denoiser.config["_class_name"])
                denoiser = family.load(parts.denoiser, self.process, device, dtype)
            if parts.second is not None:
                with explained(self.folder, SECOND):
                    if family.experts is None:
                        raise ValueError(f"models of the family {family.name} have no second expert")
                    denoiser = family.experts(denoiser, family.load(parts.second, self.process, device, dtype))
            with explained(self.folder, "vae"):
                codec = family.codec(parts.vae, dtype, device)
            with explained(self.folder, "text_encoder"):
                text = load_text(parts.text_encoder, self.tokenizer, dtype, device)
        return VideoModel(name, denoiser, codec, text, defaults, device, dtype)


def open_model(folder: Path) -> ModelFolder:
    """A model folder that will load and run: every configuration was read, every shape compared with the weights', and
    a small video sent through all parts without data. That takes neither weights nor memory, and never the network.

    Raises MotionError, naming the file or the part, for a folder that is not such a model.
    """
    with explained(folder):
        parts = parts_of(folder)
        process = process_of(parts.scheduler, str(folder / SCHEDULER))
        if parts.boundary is not None:
            process = process.divided(parts.boundary)
    with explained(folder, "text_encoder"):
        text_kind(parts.text_encoder)
    with quietly(), explained(folder, "tokenizer"):
        tokenizer = tokenizer_of(parts.text_encoder, folder / "tokenizer")
    opened = ModelFolder(parts, tokenizer, process)
    try_without_data(parts, lambda: opened.load(folder.name, SamplingDefaults(), META, torch.float32))
    return opened


def load_model(
    name_or_folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> VideoModel:
    """Load a bundled model by name, or a text-to-video model from a folder (see layout.py). Never uses the network.

    Raises MotionError, naming what is missing or wrong, for a folder that is not such a model.
    """
    name = str(name_or_folder)
    if name in BUNDLED_IMAGES:
        raise MotionError(
            f"{name} is an image model, of which only imagine makes videos: choose a video model, such as "
            f"{next(iter(BUNDLED))}."
        )
    with explained(Path(name)):
        folder, defaults = BUNDLED.get(name) or (Path(name_or_folder).expanduser(), SamplingDefaults())
        device = torch.device(device)
    return open_model(folder).load(name if name in BUNDLED else folder.name, defaults, device, dtype)


def try_without_data(parts: Parts, load: Callable[[], VideoModel]) -> None:
    """`run_without_data`, once in a process for all folders with the same configurations, names and shapes of tensors,
    and files of the tokenizer by name, size and time. load: gives the model on the meta device."""
    key = _likeness(parts)
    if key not in _TRIED:
        run_without_data(load(), parts)
        _TRIED.add(key)


_TRIED: set[str] = set()


def _likeness(parts: Parts) -> str:
    digest = hashlib.sha256()
    named = {parts.named: parts.denoiser, "vae": parts.vae, "text_encoder": parts.text_encoder}
    for name, part in {**named, **({SECOND: parts.second} if parts.second else {})}.items():
        with explained(parts.folder, name):
            shapes = sorted((tensor, list(shape)) for tensor, shape in part.shapes().items())
            digest.update(json.dumps([name, part.config, shapes], sort_keys=True).encode())
    for file in sorted((parts.text_encoder.folder.parent / "tokenizer").iterdir()):
        if file.is_file():
            found = file.stat()  # not what it holds: a stranger's file can be larger than the memory
            digest.update(json.dumps([file.name, found.st_size, found.st_mtime_ns]).encode())
    return digest.hexdigest()


def run_without_data(model: VideoModel, parts: Parts) -> None:
    """Send a prompt, a few pictures and a latent video through a model on the meta device, where only shapes are
    computed.

    Raises MotionError, naming the part, for one that cannot run or gives another shape than the next part takes.
    """
    shape = model.latent_shape(FEW_FRAMES, 8 * model.codec.pixels_per_latent, 8 * model.codec.pixels_per_latent)
    with torch.no_grad():
        with explained(parts.folder, "text_encoder"):
            words = model.encode_prompt(["a"])
        with explained(parts.folder, "vae"):
            pixels = torch.empty(
                FEW_FRAMES, 3, *(side * model.codec.pixels_per_latent for side in shape[3:]), device=META
            )
            _same_shape(model.codec.encode(pixels), shape)
            _same_shape(model.codec.decode(torch.empty(shape, device=META)), pixels.shape)
        with explained(parts.folder, parts.named):
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
    "run_without_data",
    "try_without_data",
]
