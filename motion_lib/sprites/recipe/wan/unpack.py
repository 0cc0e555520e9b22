"""The way back from exported files to a work folder: to measure a model that was given away, or to train it further."""

from __future__ import annotations

import shutil
from pathlib import Path

from ....bundled.models import BUNDLED
from .. import checkpoint
from . import autoencoder, transformer
from .design import LATENTS_MEAN, LATENTS_STD
from .export import DIFFUSION_MODEL, VAE


def unpack(work: Path, model: str) -> None:
    """Fill `work` with the parts of `model`, a folder that `export` wrote or a bundled model's name; the companion is
    left out."""
    from safetensors.torch import load_file

    folder = BUNDLED[model][0] if model in BUNDLED else Path(model).expanduser()
    parts = {"transformer": folder / DIFFUSION_MODEL, "text_encoder": folder / "text_encoder" / "model.safetensors"}
    ema = {f"{part}.{name}": value for part, file in parts.items() for name, value in load_file(file).items()}
    checkpoint.save(work / transformer.FILE, ema=ema, step=0)
    scale = {"mean": LATENTS_MEAN, "std": LATENTS_STD}  # of what hosts expect
    checkpoint.save(work / autoencoder.FILE, ema=load_file(folder / VAE), step=0, **scale)
    shutil.copytree(folder / "tokenizer", work / "wan_tokenizer", dirs_exist_ok=True)
