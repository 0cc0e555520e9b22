"""Where the parts of a model lie in its folder: each in a folder of its own, as diffusers has them, or denoiser and
autoencoder in single files, as ComfyUI has them, beside each other or in folders named as ComfyUI's.

A model with two experts, such as Wan 2.2, has a second denoiser for low noise: in diffusers' layout in `transformer_2`,
with the boundary between the two in model_index.json, or a second file, of which the names say high and low.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..bundled.models import BUNDLED
from ..errors import MotionError, shown
from .family import FAMILIES
from .folder import Part, read_config, weight_files
from .tokens import missing_words
from .wan_marks import is_autoencoder, is_transformer

STEMS = {
    "unet": ("diffusion_pytorch_model",),
    "transformer": ("diffusion_pytorch_model",),
    "transformer_2": ("diffusion_pytorch_model",),
    "vae": ("diffusion_pytorch_model",),
    "text_encoder": ("model", "pytorch_model"),
}
SCHEDULER = "scheduler/scheduler_config.json"
SECOND, INDEX, BOUNDARY = "transformer_2", "model_index.json", "boundary_ratio"
# What ComfyUI takes a Wan for, whose single files say nothing of it.
WAN_SCHEDULER: dict[str, Any] = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 8.0}
# Between the experts of Wan 2.2 without and with a first frame, whose single files do not say it either.
WAN_BOUNDARIES = {False: 0.875, True: 0.9}
NOISES = {noise: re.compile(rf"(?i)(^|[^a-z]){noise}(?![a-z])") for noise in ("high", "low")}


@dataclass(frozen=True)
class Parts:
    """What a model folder holds, of which nothing but names, sizes and configurations was read. named: what stands in
    for the denoiser in a message, `unet` or `transformer`. second: of a model with two experts, that for low noise;
    boundary: the share of the timesteps from which on the first is asked."""

    folder: Path
    named: str
    denoiser: Part
    vae: Part
    text_encoder: Part
    scheduler: dict[str, Any]
    second: Part | None = None
    boundary: float | None = None


def parts_of(folder: Path) -> Parts:
    """Raises MotionError, naming what is missing or wrong, for a folder that is no such model."""
    if not folder.is_dir():
        known = ", ".join(BUNDLED)
        raise MotionError(f"There is no model folder {folder}: give a folder in diffusers layout, or one of: {known}.")
    files = single_files(folder)
    parts = _in_files(folder, *files) if files else parts_in_folders(folder)
    kind = parts.denoiser.config.get("_class_name")
    if kind not in tuple(FAMILIES):
        raise MotionError(
            f"{folder / parts.named / 'config.json'} describes a {shown(kind, 80)}, but only these are supported: "
            f"{', '.join(FAMILIES)}."
        )
    return parts


def single_files(folder: Path) -> tuple[list[Path], Path] | None:
    """The transformer, or those for high and for low noise, and the autoencoder of Wan that lie beside each other in a
    folder, or in `diffusion_models` and `vae` there; None for a folder in diffusers layout.

    Raises MotionError when there are more of either, or a transformer alone.
    """
    if _denoiser(folder) is not None:
        return None
    places = (folder, folder / "diffusion_models", folder / "vae")
    files = [file for place in places for file in sorted(place.glob("*.safetensors")) if file.is_file()]
    if not files:
        return None
    transformers = [file for file in files if is_transformer(file)]
    if not transformers:
        return None
    autoencoders = [file for file in files if is_autoencoder(file)]
    experts = [_for(noise, transformers) for noise in NOISES]
    if len(transformers) == 2 and None not in experts:
        transformers = [expert for expert in experts if expert]
    elif len(transformers) != 1:
        raise MotionError(
            f"{folder} should hold one transformer of Wan, or two of which one is named high and the other low, but "
            f"holds {shown(', '.join(file.name for file in transformers), 200)}."
        )
    if len(autoencoders) != 1:
        count = ", ".join(file.name for file in autoencoders) or "none"
        raise MotionError(f"{folder} should hold one autoencoder of Wan, but holds {shown(count, 200)}.")
    return transformers, autoencoders[0]


def _for(noise: str, files: list[Path]) -> Path | None:
    """The file whose name says this noise, high or low, and not the other."""
    named = [file for file in files if [n for n, word in NOISES.items() if word.search(file.stem)] == [noise]]
    return named[0] if len(named) == 1 else None


def _denoiser(folder: Path) -> str | None:
    return next((name for name in ("unet", "transformer") if (folder / name).is_dir()), None)


def parts_in_folders(folder: Path, kind: str = "a text-to-video model", others: Path | None = None) -> Parts:
    """Those of a folder in diffusers layout. others: the folder of all parts but the denoiser, without one the same.

    Raises MotionError for a folder that is not such a model.
    """
    if not folder.is_dir():
        raise MotionError(f"There is no model folder {folder}: give {kind}'s folder in diffusers layout.")
    named = _denoiser(folder) or "unet"
    rest = others or folder
    wanted = {named: folder / named, "vae": rest / "vae", "text_encoder": rest / "text_encoder"}
    missing = [f"{part}/config.json" for part, place in wanted.items() if not (place / "config.json").is_file()]
    missing += [] if (rest / SCHEDULER).is_file() else [SCHEDULER]
    missing += [f"tokenizer/{name}" for name in missing_words(rest / "tokenizer")]
    missing += [f"{part}/ weights" for part, place in wanted.items() if not weight_files(place, STEMS[part])]
    if missing:
        raise MotionError(f"{folder} is not {kind} in diffusers layout: missing {', '.join(missing)}.")
    denoiser, vae, encoder = (Part.open(place, STEMS[part]) for part, place in wanted.items())
    second, boundary = None, None
    if named == "transformer" and (folder / SECOND).is_dir():
        second, boundary = Part.open(folder / SECOND, STEMS[SECOND]), _boundary(folder)
        if boundary is None:
            raise MotionError(
                f"{folder} has a {SECOND}, but {INDEX} does not say with {BOUNDARY} at which share of the noise it "
                f"begins: get that file of the model as well."
            )
    return Parts(folder, named, denoiser, vae, encoder, read_config(rest / SCHEDULER), second, boundary)


def _boundary(folder: Path) -> float | None:
    """What model_index.json says. Raises MotionError for what no boundary could be."""
    path = folder / INDEX
    value = read_config(path).get(BOUNDARY) if path.is_file() else None
    if value is not None and (type(value) not in (int, float) or not 0 < value < 1):
        raise MotionError(f"{path}: {BOUNDARY} is {shown(value, 80)}, but it must lie between 0 and 1.")
    return value


def _in_files(folder: Path, transformers: list[Path], autoencoder: Path) -> Parts:
    from .wan.single_file import autoencoder_part, transformer_part  # which needs a diffusers that has Wan

    missing = [] if (folder / "text_encoder" / "config.json").is_file() else ["text_encoder/config.json"]
    missing += [f"tokenizer/{name}" for name in missing_words(folder / "tokenizer")]
    if missing:
        raise MotionError(f"{folder} has no text encoder for {transformers[0].name}: missing {', '.join(missing)}.")
    encoder = Part.open(folder / "text_encoder", STEMS["text_encoder"])
    scheduler = read_config(folder / SCHEDULER) if (folder / SCHEDULER).is_file() else WAN_SCHEDULER
    denoiser, *others = (transformer_part(file) for file in transformers)
    second, boundary = None, None
    if others:
        second, boundary = others[0], _boundary(folder)
        boundary = boundary or WAN_BOUNDARIES[denoiser.config["in_channels"] > denoiser.config["out_channels"]]
    vae = autoencoder_part(autoencoder)
    return Parts(folder, "transformer", denoiser, vae, encoder, scheduler, second, boundary)
