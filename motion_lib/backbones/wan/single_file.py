"""Wan's transformer and autoencoder out of single files, as ComfyUI has them: which models they are is read off the
names and shapes of their tensors, without reading one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ...errors import MotionError, shown
from ..folder import LARGEST_CONFIG, Part
from ..wan_marks import (
    AUTOENCODER_MARK,
    AUTOENCODER_PREFIXES,
    TRANSFORMER_MARK,
    TRANSFORMER_PREFIXES,
    is_safetensors,
    prefix_of,
)
from .keys import autoencoder_name, transformer_name

LARGER_AUTOENCODER_MARK = "decoder.upsamples.0.upsamples.0.residual.2.weight"
SCALED = re.compile(r"(.*\.)?(scaled_fp8|comfy_quant|(scale|weight_scale|input_scale|scale_(weight|input))(_2)?)")
# Models that take more than noise, text and a first frame, by the beginning of the names that only they have.
VARIANTS = {
    "vace_": "VACE",
    "control_adapter.": "Fun-Camera",
    "ref_conv.": "Fun-Control",
    "casual_audio_encoder.": "S2V",
    "audio_proj.": "HuMo",
    "face_adapter.": "Animate",
    "patch_embedding_mask.": "SCAIL",
    "patch_embedding_pose.": "SCAIL",
    "patch_embedding_global.": "WanDancer",
}
SUPPORTED = "use a text-to-video or an image-to-video model of Wan 2.1 or 2.2"
HEAD_DIM = 128  # in every Wan, and what ComfyUI takes it to be
PATCH = (1, 2, 2)
LATENT_CHANNELS = 16  # of which the means and standard deviations are known
FRAMES_PER_LATENT = 4  # of which each has a channel in the mask of given frames


def transformer_part(file: Path) -> Part:
    """The transformer in a file, for diffusers' WanTransformer3DModel: text to video, or with the channels of a first
    frame, or with an image branch as well.

    Raises MotionError for a file that holds none, or a variant that is not supported.
    """
    shapes = _shapes(file, "transformer", TRANSFORMER_MARK, TRANSFORMER_PREFIXES)
    for name in sorted(shapes):
        for beginning, variant in VARIANTS.items():
            if name.startswith(beginning):
                raise MotionError(f"{file} holds Wan's {variant}, which is not supported: {SUPPORTED}.")
    _check_names(file, shapes, transformer_name)

    dim = _side(file, shapes, TRANSFORMER_MARK, 3, -1)
    out = _side(file, shapes, "head.head.weight", 2, 0) // 4
    channels = _side(file, shapes, "patch_embedding.weight", 5, 1)
    if channels not in (out, 2 * out + FRAMES_PER_LATENT):
        raise MotionError(
            f"{file} holds a variant of Wan that takes {channels} channels, such as Fun-Control, which is not "
            f"supported: {SUPPORTED}."
        )
    config = {
        "_class_name": "WanTransformer3DModel",
        "patch_size": list(PATCH),
        "num_attention_heads": (heads := _heads(file, dim)),
        "attention_head_dim": dim // heads,
        "in_channels": channels,
        "out_channels": out,
        "text_dim": _side(file, shapes, "text_embedding.0.weight", 2, 1),
        "freq_dim": _side(file, shapes, "time_embedding.0.weight", 2, 1),
        "ffn_dim": _side(file, shapes, "blocks.0.ffn.0.weight", 2, 0),
        "num_layers": len({name.split(".")[1] for name in shapes if name.startswith("blocks.")}),
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
        "eps": 1e-6,
    }
    if "img_emb.proj.0.weight" in shapes:
        config |= {"image_dim": _side(file, shapes, "img_emb.proj.0.weight", 1, 0), "added_kv_proj_dim": dim}
    if "img_emb.emb_pos" in shapes:
        config["pos_embed_seq_len"] = _side(file, shapes, "img_emb.emb_pos", 3, 1)
    return Part(file, config, (file,), _transformer_name)


def autoencoder_part(file: Path) -> Part:
    """The video autoencoder in a file, for diffusers' AutoencoderKLWan: Wan 2.1's, which the 14B models of Wan 2.2 use
    as well.

    Raises MotionError for a file that holds none, or one that is not supported.
    """
    shapes = _shapes(file, "video autoencoder", AUTOENCODER_MARK, AUTOENCODER_PREFIXES)
    channels = _side(file, shapes, "conv2.weight", 5, 0)
    if LARGER_AUTOENCODER_MARK in shapes or channels != LATENT_CHANNELS:
        raise MotionError(
            f"{file} holds an autoencoder with {channels} channels, as Wan 2.2's 5B model has, which is not supported: "
            f"use that of Wan 2.1."
        )
    _check_names(file, shapes, autoencoder_name)
    config = {
        "_class_name": "AutoencoderKLWan",
        "base_dim": _side(file, shapes, "decoder.head.0.gamma", 4, 0),
        "z_dim": channels,
        "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "attn_scales": [],
        "temperal_downsample": [False, True, True],
    }
    return Part(file, config, (file,), _autoencoder_name)


def _transformer_name(name: str) -> str:
    return _renamed(name, transformer_name, TRANSFORMER_PREFIXES)


def _autoencoder_name(name: str) -> str:
    return _renamed(name, autoencoder_name, AUTOENCODER_PREFIXES)


def _renamed(name: str, rename: Callable[[str], str | None], prefixes: Iterable[str]) -> str:
    found = (rename(name.removeprefix(prefix)) for prefix in prefixes)
    return next((new for new in found if new), name)


def _shapes(file: Path, kind: str, mark: str, prefixes: Iterable[str]) -> dict[str, torch.Size]:
    """The shapes of what the names with the prefix of the mark are of."""
    if not is_safetensors(file):
        raise MotionError(f"{file} is not a safetensors file, and no other files of Wan are read.")
    try:
        shapes = Part(file, {}, (file,), str).shapes()
    except (OSError, SafetensorError) as error:
        raise MotionError(f"{file} could not be read: {shown(str(error))}.") from error
    prefix = prefix_of(shapes, mark, prefixes)
    if prefix is None:
        raise MotionError(f"{file} holds no {kind} of Wan: there is no tensor {mark} in it.")
    return {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}


def _check_names(file: Path, names: Iterable[str], rename: Callable[[str], str | None]) -> None:
    unknown = sorted(name for name in names if rename(name) is None)
    if scaled := [name for name in unknown if SCALED.fullmatch(name)]:
        raise MotionError(
            f"{file} holds scaled weights ({shown(scaled[0], 80)}), which are not supported: use one in fp16 or bf16."
        )
    if unknown:
        raise MotionError(f"{file} holds a variant of Wan that is not supported: no other has {shown(unknown[0], 80)}.")


def _side(file: Path, shapes: dict[str, torch.Size], name: str, sides: int, at: int) -> int:
    shape = shapes.get(name)
    if shape is None or len(shape) != sides or not all(shape):
        said = "is missing" if shape is None else f"has the shape {shown(list(shape), 80)}"
        raise MotionError(f"{file} holds no whole model of Wan: {name} {said}.")
    return shape[at]


def _heads(file: Path, dim: int) -> int:
    """What the header says, which ComfyUI believes, or else as many as every Wan has."""
    heads = _header(file).get("num_heads", dim // HEAD_DIM)
    if type(heads) is not int or not 0 < heads <= dim or dim % heads:
        raise MotionError(f"{file}: {dim} channels cannot be divided among {shown(heads, 80)} heads of attention.")
    return heads


def _header(file: Path) -> dict[str, Any]:
    """What the header says of the transformer."""
    with safe_open(file, framework="pt") as stored:
        text = (stored.metadata() or {}).get("config", "{}")
    try:
        config = json.loads(text) if len(text) <= LARGEST_CONFIG else None
    except (ValueError, RecursionError) as error:
        raise MotionError(f"{file}: config in its header could not be read as JSON: {error}.") from error
    found = config.get("transformer", {}) if isinstance(config, dict) else None
    if not isinstance(found, dict):
        raise MotionError(f"{file}: config in its header should be a JSON object with an object transformer in it.")
    return found
