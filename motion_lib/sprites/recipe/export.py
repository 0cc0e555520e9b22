"""Stage 3: the trained parts as a model folder in diffusers layout, in half precision."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from . import autoencoder, checkpoint
from .design import SCHEDULER
from .text import load_tokenizer
from .unet import TextToVideo


def export(work: Path, out: Path) -> None:
    """Write unet, vae, text_encoder, tokenizer, scheduler and model_index.json to `out`."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    state = checkpoint.load(work / "unet.pt", "cpu")
    assert state is not None, f"{work} holds no UNet: run that stage first"
    model = TextToVideo(load_tokenizer(work / "tokenizer"))
    model.load_state_dict(state["ema"], strict=False)
    parts = {
        "unet": model.unet,
        "text_encoder": model.text_encoder,
        "vae": autoencoder.finished(work, "cpu"),
    }
    for name, module in parts.items():
        module.to(torch.float16).save_pretrained(out / name, safe_serialization=True)
    DDIMScheduler(**SCHEDULER).save_pretrained(out / "scheduler")
    shutil.copytree(work / "tokenizer", out / "tokenizer", dirs_exist_ok=True)
    index = {
        "_class_name": "TextToVideoSDPipeline",
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet3DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
