"""Stage 2: the model folder in diffusers layout, in half precision."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from ....bundled.models import BUNDLED
from .. import checkpoint
from .unet import FILE, new_model

SHARED = ("vae", "text_encoder", "tokenizer", "scheduler")


def export(work: Path, out: Path, whole: bool) -> None:
    """Write the averaged UNet to `out`. whole: with the other parts, which are sprite_t2v's, beside it, so that any
    program can load the folder."""
    state = checkpoint.load(work / FILE, "cpu")
    assert state is not None, f"{work} holds no UNet: run that stage first"
    model = new_model("cpu")
    model.load_state_dict(state["ema"])
    model.to(torch.float16, memory_format=torch.contiguous_format)  # older diffusers save no other
    model.save_pretrained(out / "unet", safe_serialization=True)
    if whole:
        complete(out)


def complete(folder: str | Path) -> None:
    """Add what a folder with this UNet needs to be a StableDiffusionPipeline."""
    folder = Path(folder)
    for part in SHARED:
        shutil.copytree(BUNDLED["sprite_t2v"][0] / part, folder / part, dirs_exist_ok=True)
    index = {
        "_class_name": "StableDiffusionPipeline",
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
