"""The text encoder of a diffusers folder as CLIP: ComfyUI's own CLIP classes, sized by the folder's configuration, so
that prompt weights, LoRA and hooks work."""

from __future__ import annotations

from functools import partial
from typing import Any

import comfy.clip_model
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models_base
import comfy.utils
import folder_paths
import torch

from ...motion_lib.backbones import ModelFolder
from ...motion_lib.backbones.loading import explained, text_config


class TextModel(comfy.clip_model.CLIPTextModel):
    """With a vocabulary of the size that the configuration says."""

    def __init__(self, config: dict[str, Any], dtype, device, operations):
        super().__init__(config, dtype, device, operations)
        width = config["hidden_size"]
        self.text_model.embeddings.token_embedding = operations.Embedding(
            config["vocab_size"], width, dtype=dtype, device=device
        )


def load_text_encoder(opened: ModelFolder) -> comfy.sd.CLIP:
    """CLIP whose output is the encoder's last layer, normalised, as text-to-video models of this layout were trained.

    Raises MotionError when the weights cannot be read.
    """
    tokens = opened.tokenizer
    with explained(opened.folder, "text_encoder"):
        # ComfyUI reads the configuration by the names of transformers, and expects every field.
        config = text_config(opened.parts.text_encoder).to_dict() | {"eos_token_id": tokens.eos_token_id}
        length = min(tokens.model_max_length, config["max_position_embeddings"])
        special = {"start": tokens.bos_token_id, "end": tokens.eos_token_id, "pad": tokens.pad_token_id}
        encoder = partial(
            comfy.sd1_clip.SDClipModel,
            max_length=length,
            layer="last",
            textmodel_json_config=config,
            special_tokens=special,
            model_class=TextModel,
            layer_norm_hidden_state=False,
            return_projected_pooled=False,
        )
        tokenizer = partial(
            comfy.sd1_clip.SDTokenizer,
            max_length=length,
            embedding_size=config["hidden_size"],
            embedding_key="motion",
            tokenizer_class=_Loaded,
            tokenizer_args={"tokenizer": tokens},
            pad_token=special["pad"],
        )
        target = comfy.supported_models_base.ClipTarget(
            partial(comfy.sd1_clip.SD1Tokenizer, clip_name="motion", tokenizer=tokenizer),
            partial(comfy.sd1_clip.SD1ClipModel, clip_name="motion", clip_model=encoder),
        )
        weights = _named(dict(opened.parts.text_encoder.tensors()), config["hidden_size"])
        return comfy.sd.CLIP(
            target,
            embedding_directory=folder_paths.get_folder_paths("embeddings"),
            parameters=comfy.utils.calculate_parameters(weights),
            state_dict=[weights],
        )


class _Loaded:
    """What ComfyUI asks for a tokenizer by the name of a folder, which here was read before."""

    @staticmethod
    def from_pretrained(folder: str, tokenizer: Any) -> Any:
        return tokenizer


def _named(weights: dict[str, torch.Tensor], width: int) -> dict[str, torch.Tensor]:
    """Keys as ComfyUI's CLIP has them."""
    weights = {f"text_model.{k}": w for k, w in weights.items() if not k.endswith("position_ids")}
    weights["text_projection.weight"] = torch.eye(width)  # of the pooled output, which nobody reads
    return weights
