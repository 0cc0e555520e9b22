"""By which names of tensors a single file of Wan is known. This is no part of `wan`, which an older diffusers does not
let be imported: there too a folder of other files is not to be taken for one of Wan."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError

from .folder import Part

# What stands before the names where other models are in the same file, or were once.
TRANSFORMER_PREFIXES = ("", "model.diffusion_model.", "diffusion_model.", "model.")
AUTOENCODER_PREFIXES = ("", "first_stage_model.", "vae.", "model.")
TRANSFORMER_MARK = "head.modulation"  # no other model of ComfyUI's has one
AUTOENCODER_MARK = "decoder.middle.0.residual.0.gamma"


def is_transformer(file: Path) -> bool:
    """Whether a file holds a transformer of Wan, supported or not; only its header is read."""
    return prefix_of(_names(file), TRANSFORMER_MARK, TRANSFORMER_PREFIXES) is not None


def is_autoencoder(file: Path) -> bool:
    """Whether a file holds a video autoencoder of Wan, supported or not; only its header is read."""
    return prefix_of(_names(file), AUTOENCODER_MARK, AUTOENCODER_PREFIXES) is not None


def _names(file: Path) -> Iterable[str]:
    try:
        return Part(file, {}, (file,), str).shapes() if is_safetensors(file) else ()
    except (OSError, SafetensorError):
        return ()


def is_safetensors(file: Path) -> bool:
    return file.suffix == ".safetensors" and file.is_file()


def prefix_of(names: Iterable[str], mark: str, prefixes: Iterable[str]) -> str | None:
    known = set(names)
    return next((prefix for prefix in prefixes if prefix + mark in known), None)
