"""Files of one part of a model folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import comfy.utils
import torch

from ...motion_lib.errors import MotionError


def weights(folder: Path) -> list[Path]:
    """Weight files of a part, safetensors before pickles, fp16 variants left out where there are others."""
    for suffix in (".safetensors", ".bin"):
        files = sorted(folder.glob(f"*{suffix}"))
        if files:
            return [f for f in files if ".fp16" not in f.name] or files
    return []


def variant(folder: Path) -> str | None:
    """`fp16` when the weights exist in that variant only."""
    files = weights(folder)
    return "fp16" if files and all(".fp16" in f.name for f in files) else None


def state_dict(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a part; pickles are read with weights_only. Raises MotionError when a file cannot be read."""
    tensors: dict[str, torch.Tensor] = {}
    for file in weights(folder):
        try:
            tensors |= comfy.utils.load_torch_file(str(file), safe_load=True)
        except Exception as error:  # torch, safetensors and zipfile each raise their own
            raise MotionError(f"{file} could not be read: {' '.join(str(error).split())[:200]}") from error
    return tensors


def read_json(path: Path) -> dict[str, Any]:
    """Raises MotionError, naming the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MotionError(f"{path} could not be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise MotionError(f"{path} should hold a JSON object.")
    return value
