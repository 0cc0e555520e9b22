"""Stage 4 of `sprite_wan`: the files that hosts of Wan 2.1 load, in half precision, in folders named as ComfyUI's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from ....files.atomic import replacing
from . import autoencoder, distil, transformer
from .design import LATENTS_MEAN, LATENTS_STD, SHIFT, TRANSFORMER

DIFFUSION_MODEL = "diffusion_models/sprite_wan_fp16.safetensors"
COMPANION = "loras/sprite_wan_4_steps_fp16.safetensors"
VAE = "vae/sprite_wan_vae_fp16.safetensors"
SCHEDULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": SHIFT}


def export(work: Path, out: Path) -> None:
    """Write transformer, autoencoder, text encoder, tokenizer and the scheduler's settings to `out`, and
    the companion if there is one."""
    from safetensors.torch import save_file

    model, vae = transformer.finished(work, "cpu"), autoencoder.finished(work, "cpu")
    # Hosts subtract this mean and divide by this standard deviation themselves.
    autoencoder.rescale(vae, -LATENTS_MEAN / LATENTS_STD, 1 / LATENTS_STD)
    config = {"transformer": {"text_dim": TRANSFORMER["text_dim"]}}
    with replacing(out / DIFFUSION_MODEL) as temporary:
        save_file(_half(model.transformer), temporary, metadata={"config": json.dumps(config)})
    with replacing(out / VAE) as temporary:
        save_file(_half(vae), temporary)
    if (work / distil.FILE).exists():
        changes = distil.finished(work, model.transformer, "cpu").tensors()
        with replacing(out / COMPANION) as temporary:
            save_file({name: value.half().contiguous() for name, value in changes.items()}, temporary)
    model.text_encoder.half().save_pretrained(out / "text_encoder", safe_serialization=True)
    with replacing(out / "scheduler" / "scheduler_config.json") as temporary:
        temporary.write_text(json.dumps(SCHEDULER, indent=2) + "\n", encoding="utf-8")
    shutil.copytree(work / "wan_tokenizer", out / "tokenizer", dirs_exist_ok=True)


def _half(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.half().contiguous() for name, value in module.state_dict().items()}
