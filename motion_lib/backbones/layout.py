"""Where the parts of a model lie in its folder: each in a folder of its own, as diffusers has them, or denoiser and
autoencoder in single files, as ComfyUI has them, beside each other or in folders named as ComfyUI's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..bundled.models import BUNDLED
from ..errors import MotionError, shown
from .family import FAMILIES
from .folder import Part, read_config, weight_files
from .tokens import missing_words

STEMS = {
    "unet": ("diffusion_pytorch_model",),
    "transformer": ("diffusion_pytorch_model",),
    "vae": ("diffusion_pytorch_model",),
    "text_encoder": ("model", "pytorch_model"),
}
SCHEDULER = "scheduler/scheduler_config.json"
# What ComfyUI takes a Wan for, whose single files say nothing of it.
WAN_SCHEDULER: dict[str, Any] = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 8.0}


@dataclass(frozen=True)
class Parts:
    """What a model folder holds, of which nothing but names, sizes and configurations was read. named: what stands in
    for the denoiser in a message, `unet` or `transformer`."""

    folder: Path
    named: str
    denoiser: Part
    vae: Part
    text_encoder: Part
    scheduler: dict[str, Any]


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


def single_files(folder: Path) -> tuple[Path, Path] | None:
    """The transformer and the autoencoder of Wan that lie beside each other in a folder, or in `diffusion_models` and
    `vae` there; None for a folder in diffusers layout.

    Raises MotionError when there are several of either, or a transformer alone.
    """
    if _denoiser(folder) is not None:
        return None
    places = (folder, folder / "diffusion_models", folder / "vae")
    files = [file for place in places for file in sorted(place.glob("*.safetensors")) if file.is_file()]
    if not files:
        return None
    from .wan.single_file import is_autoencoder, is_transformer  # which needs a diffusers that has Wan

    transformers = [file for file in files if is_transformer(file)]
    if not transformers:
        return None
    autoencoders = [file for file in files if is_autoencoder(file)]
    for kind, found in (("transformer", transformers), ("autoencoder", autoencoders)):
        if len(found) != 1:
            count = ", ".join(file.name for file in found) if found else "none"
            raise MotionError(f"{folder} should hold one {kind} of Wan, but holds {shown(count, 200)}.")
    return transformers[0], autoencoders[0]


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
    return Parts(folder, named, denoiser, vae, encoder, read_config(rest / SCHEDULER))


def _in_files(folder: Path, transformer: Path, autoencoder: Path) -> Parts:
    from .wan.single_file import autoencoder_part, transformer_part

    missing = [] if (folder / "text_encoder" / "config.json").is_file() else ["text_encoder/config.json"]
    missing += [f"tokenizer/{name}" for name in missing_words(folder / "tokenizer")]
    if missing:
        raise MotionError(f"{folder} has no text encoder for {transformer.name}: missing {', '.join(missing)}.")
    encoder = Part.open(folder / "text_encoder", STEMS["text_encoder"])
    scheduler = read_config(folder / SCHEDULER) if (folder / SCHEDULER).is_file() else WAN_SCHEDULER
    return Parts(
        folder, "transformer", transformer_part(transformer), autoencoder_part(autoencoder), encoder, scheduler
    )
