"""A name for results: a hash of everything they depend on, equal in every run of ComfyUI."""

from __future__ import annotations

import hashlib
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher

from ...motion_lib.method.embedding import MotionEmbedding
from ...motion_lib.method.patch import MotionPatch
from ...motion_lib.method.records import Advice, Origin
from .kinds import kind_of
from .patch import KEY

# Fields that later versions have added, and the value that means what it meant without them: names stay as they were.
ADDED = (
    (MotionPatch, "expert", None),
    *((Origin, name, ()) for name in ("starts_at", "ends_at")),
    (Origin, "reading", {}),
    (Origin, "started_from", None),
)


def fingerprint(*values: Any) -> str:
    """Of tensors, numbers, texts, containers and objects made of them: 32 hexadecimal digits."""
    digest = hashlib.sha256()
    _add(digest, values)
    return digest.hexdigest()[:32]


def model_state(model: ModelPatcher) -> list[Any]:
    """What a MODEL's predictions depend on: its weights, LoRA, motion patches and noise process."""
    return _state(model, kind_of(model).source)


def earlier_model_state(model: ModelPatcher) -> list[Any] | None:
    """The same as earlier versions named results by it, by the size and time of the model's files; None where they made
    none."""
    source = kind_of(model).earlier_source
    return None if source is None else _state(model, source)


def _state(model: ModelPatcher, source: str) -> list[Any]:
    patches = model.model_options.get("transformer_options", {}).get("patches", {}).get(KEY, [])
    acting = [replace(applied.patch, embedding=_nameless(applied.patch.embedding)) for applied in patches]
    return [source, model.patches, acting, kind_of(model).process()]


def _nameless(embedding: MotionEmbedding) -> MotionEmbedding:
    """Without what its file says of it, which changes no prediction."""
    return replace(embedding, origin=Origin(), advice=Advice())


def _add(digest: Any, value: Any) -> None:
    digest.update(f"{type(value).__name__}(".encode())
    if isinstance(value, torch.Tensor):
        digest.update(f"{value.dtype}{list(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            _add(digest, (str(key), value[key]))
    elif isinstance(value, (set, frozenset)):
        _add(digest, sorted(map(str, value)))
    elif isinstance(value, (list, tuple)):
        for item in value:
            _add(digest, item)
    elif is_dataclass(value) and not isinstance(value, type):
        found = {field.name: getattr(value, field.name) for field in fields(value)}
        for kind, name, without in ADDED:
            if isinstance(value, kind) and found[name] == without:
                del found[name]
        _add(digest, found)
    elif value is None or isinstance(value, (str, bytes, int, float)):
        digest.update(repr(value).encode())
    else:  # such as a LoRA's weight adapter
        _add(digest, vars(value) if hasattr(value, "__dict__") else str(type(value)))
    digest.update(b")")
