"""The text encoder of a diffusers folder as CLIP: ComfyUI's own CLIP classes, sized by the folder's configuration, so
that prompt weights, LoRA and hooks work."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import comfy.clip_model
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models_base
import comfy.utils
import folder_paths
import torch
from transformers import CLIPTokenizer

from .parts import read_json, state_dict


class TextModel(comfy.clip_model.CLIPTextModel):
    """With a vocabulary of the size that the configuration says."""

    def __init__(self, config: dict[str, Any], dtype, device, operations):
        super().__init__(config, dtype, device, operations)
        width = config["hidden_size"]
        self.text_model.embeddings.token_embedding = operations.Embedding(
            config["vocab_size"], width, dtype=dtype, device=device
        )


def load_text_encoder(folder: Path) -> comfy.sd.CLIP:
    """CLIP whose output is the encoder's last layer, normalised, as text-to-video models of this layout were trained.

    Raises MotionError when the weights cannot be read.
    """
    config = read_json(folder / "text_encoder" / "config.json")
    tokens = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    length = min(tokens.model_max_length, config["max_position_embeddings"])
    start, end, pad = tokens.bos_token_id, tokens.eos_token_id, tokens.pad_token_id
    config = {**config, "eos_token_id": end}
    encoder = partial(
        comfy.sd1_clip.SDClipModel,
        max_length=length,
        layer="last",
        textmodel_json_config=config,
        special_tokens={"start": start, "end": end, "pad": pad},
        model_class=TextModel,
        layer_norm_hidden_state=False,
        return_projected_pooled=False,
    )
    tokenizer = partial(
        comfy.sd1_clip.SDTokenizer,
        str(folder / "tokenizer"),
        max_length=length,
        embedding_size=config["hidden_size"],
        embedding_key="motion",
        pad_token=pad,
    )
    target = comfy.supported_models_base.ClipTarget(
        partial(comfy.sd1_clip.SD1Tokenizer, clip_name="motion", tokenizer=tokenizer),
        partial(comfy.sd1_clip.SD1ClipModel, clip_name="motion", clip_model=encoder),
    )
    weights = _named(state_dict(folder / "text_encoder"), config)
    return comfy.sd.CLIP(
        target,
        embedding_directory=folder_paths.get_folder_paths("embeddings"),
        parameters=comfy.utils.calculate_parameters(weights),
        state_dict=[weights],
    )


def _named(weights: dict[str, torch.Tensor], config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Keys as ComfyUI's CLIP has them, whichever version of transformers wrote the file."""
    weights = {k if k.startswith("text_") else f"text_model.{k}": w for k, w in weights.items()}
    weights = {k: w for k, w in weights.items() if not k.endswith("position_ids")}
    weights.setdefault("text_projection.weight", torch.eye(config["hidden_size"]))  # pooled output, which nobody reads
    return weights
