"""Model families. A family is one file here with `load` and one line in BACKBONES."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ..denoiser import Denoiser
from ..errors import MotionError
from ..models import BUNDLED
from ..schedule import NoiseSchedule
from .loading import pretrained, quietly
from .model import SamplingDefaults, VideoModel

Loader = Callable[[str, NoiseSchedule, torch.device, torch.dtype, "str | None"], Denoiser]


def _unet3d(*arguments) -> Denoiser:
    from . import unet3d  # diffusers is imported only when a model of the family is loaded

    return unet3d.load(*arguments)


# By the class name in unet/config.json.
BACKBONES: dict[str, Loader] = {
    "UNet3DConditionModel": _unet3d,
}

# The files of every part of a model folder, beside the weights.
PARTS = {
    "unet": ("config.json",),
    "vae": ("config.json",),
    "text_encoder": ("config.json",),
    "tokenizer": ("vocab.json", "merges.txt"),
    "scheduler": ("scheduler_config.json",),
}
WEIGHTS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": ("model", "pytorch_model"),
}


def load_model(
    name_or_folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> VideoModel:
    """Load a bundled model by name, or a text-to-video model from a folder in diffusers layout. Never uses the network.

    Raises MotionError, naming what is missing, for a folder that is not such a model.
    """
    if str(name_or_folder) in BUNDLED:
        folder, defaults = BUNDLED[str(name_or_folder)]
    else:
        folder, defaults = Path(name_or_folder).expanduser(), SamplingDefaults()
    _check_folder(folder)
    unet_config = _json(folder / "unet" / "config.json")
    family = unet_config.get("_class_name")
    if family not in BACKBONES:
        raise MotionError(
            f"{folder / 'unet' / 'config.json'} describes a {family}, but supported are: {', '.join(BACKBONES)}."
        )
    scheduler_file = folder / "scheduler" / "scheduler_config.json"
    schedule = NoiseSchedule.from_config(_json(scheduler_file), str(scheduler_file))
    device = torch.device(device)

    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from transformers import CLIPTextModel, CLIPTokenizer

    try:
        with quietly():
            denoiser = BACKBONES[family](str(folder), schedule, device, dtype, _variant(folder / "unet"))
            vae: Any = pretrained(AutoencoderKL, folder / "vae", dtype, _variant(folder / "vae"))
            text_encoder: Any = pretrained(
                CLIPTextModel, folder / "text_encoder", dtype, _variant(folder / "text_encoder")
            )
            tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:300]
        raise MotionError(f"The model in {folder} could not be loaded: {reason}") from error
    for module in (vae, text_encoder):
        module.requires_grad_(False).eval().to(device)
    name = folder.name if str(name_or_folder) not in BUNDLED else str(name_or_folder)
    return VideoModel(name, denoiser, vae, tokenizer, text_encoder, defaults, device, dtype)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        known = ", ".join(BUNDLED)
        raise MotionError(f"There is no model folder {folder}: give a folder in diffusers layout, or one of: {known}.")
    missing = [
        f"{part}/{file}" for part, files in PARTS.items() for file in files if not (folder / part / file).is_file()
    ]
    if (folder / "tokenizer" / "tokenizer.json").is_file():  # the same in one file, as newer versions write it
        missing = [file for file in missing if not file.startswith("tokenizer/")]
    missing += [f"{part}/ weights" for part in ("unet", "vae", "text_encoder") if not _weights(folder / part)]
    if missing:
        raise MotionError(f"{folder} is not a text-to-video model in diffusers layout: missing {', '.join(missing)}.")


def _weights(folder: Path) -> list[str]:
    """The names of the weight files of a part: the safetensors if there are any, otherwise the pickles."""
    names = [f.name for f in folder.glob("*") if f.name.startswith(WEIGHTS[folder.name])] if folder.is_dir() else []
    return [n for n in names if n.endswith(".safetensors")] or [n for n in names if n.endswith(".bin")]


def _variant(folder: Path) -> str | None:
    """`fp16` when the weights exist in that variant only, as in `diffusion_pytorch_model.fp16.safetensors`."""
    names = _weights(folder)
    halves = [name for name in names if ".fp16." in name or ".fp16-" in name]
    return "fp16" if halves and len(halves) == len(names) else None


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MotionError(f"{path} could not be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise MotionError(f"{path} should hold a JSON object.")
    return value


__all__ = ["BACKBONES", "SamplingDefaults", "VideoModel", "load_model"]
