"""Reading the pickled embeddings that the authors of Motion Inversion publish.

Their artefact is a dictionary written by `torch.save`: tensors whose keys contain the names of ModelScope's temporal
transformers, query-key embeddings with one position, value embeddings with h·w, and frames beyond those trained left at
exactly zero. It says nothing about grid, frames or model, so what the tensors do not tell is found out here or asked.
Nothing in the file is executed: see pickled.py.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import MotionError, shown
from ..method.embedding import PARTS, Backbone, MotionEmbedding, Site, layer_of
from ..method.records import Origin
from .pickled import read_pickled

USUAL_ASPECT = 16 / 9
DEEPEST = 16  # dictionaries inside dictionaries
TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def _modelscope() -> Backbone:
    """The temporal layers of ModelScope and ZeroScope, as `backbones.unet3d.backbone_of` finds them in the model."""
    layers = [Site("transformer_in", 512, 0, "in")]
    for i in range(3):
        layers += [Site(f"down_blocks.{i}.temp_attentions.{j}", 320 * 2**i, i, "down") for j in range(2)]
    layers.append(Site("mid_block.temp_attentions.0", 1280, 3, "mid"))
    for i in reversed(range(3)):
        layers += [Site(f"up_blocks.{3 - i}.temp_attentions.{j}", 320 * 2**i, i, "up") for j in range(3)]
    return Backbone("unet3d", tuple(layers))


MODELSCOPE = _modelscope()


def convert(source: str | Path, *, frames: int | None = None, grid: tuple[int, int] | None = None) -> MotionEmbedding:
    """The published pickle `source` as a MotionEmbedding for ModelScope, in float32.

    frames: how many were trained; default all up to the last row that is not exactly zero in some tensor. The others
    are cut off. grid: (h, w) of the deepest value embeddings; default the factors of h·w nearest to 16:9, such as
    (10, 18) for 180. `origin` records the file's name, SHA-256, stored rows, trained rows and whether the grid was
    guessed.

    Raises MotionError, naming file and key, for everything that is not such a dictionary of tensors.
    """
    path = Path(source)
    name = shown(path.name)
    tensors = _collect(name, read_pickled(path), path.stat().st_size)
    stored = _stored_rows(name, tensors)
    trained = _trained_rows(name, tensors, stored)
    if frames is None:
        frames = trained
    elif not 1 <= frames <= trained:
        raise MotionError(
            f"frames is {frames}, but {name} has {trained} trained frames of {stored} stored: use at most that."
        )
    grids = _grids(name, tensors, grid)
    return MotionEmbedding(
        {key: tensor.detach()[:, :frames].float().clone() for key, tensor in tensors.items()},
        grids,
        frames,
        MODELSCOPE,
        Origin(
            title=path.stem,
            source_file=path.name,
            source_sha256=_sha256(path),
            source_format="pickle",
            stored_frames=stored,
            trained_frames=trained,
            grid_guessed=grid is None,
        ),
    )


def _flat(name: str, content: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Every entry of a nested dictionary with its keys joined by dots. Raises MotionError for one that is nested too
    deeply, or that is there in more than one place, which may never end."""
    waiting: list[tuple[str, Mapping[Any, Any], int]] = [("", content, 0)]
    seen = {id(content)}
    while waiting:
        prefix, entries, depth = waiting.pop()
        for key, value in entries.items():
            if not isinstance(key, str):
                raise MotionError(f"{name} has the key {shown(key, 60)}, but only names are expected.")
            if not isinstance(value, Mapping):
                yield f"{prefix}{key}", value
            elif depth == DEEPEST or id(value) in seen:
                raise MotionError(
                    f"{name}: the dictionary {shown(prefix + key)} is nested too deeply, or is there more than once."
                )
            else:
                seen.add(id(value))
                waiting.append((f"{prefix}{key}.", value, depth + 1))


def _collect(name: str, content: Mapping[Any, Any], size: int) -> dict[str, Tensor]:
    """The tensors under the names of a MotionEmbedding, with every key, shape and value checked. size: of the file in
    bytes, more than which its tensors cannot hold."""
    entries = {key: (_layer(name, key), value) for key, value in _flat(name, content)}
    for key, (layer, value) in entries.items():
        _check_shape(name, shown(key), value, layer)
    # One query-key embedding under the names of both attentions is usual; what lies over more than that fills memory.
    if sum(value.numel() * value.element_size() for _, value in entries.values()) > 2 * size:
        raise MotionError(f"{name}: its tensors claim more values than a file of {size:,} bytes holds: they overlap.")
    tensors: dict[str, Tensor] = {}
    keys: dict[str, str] = {}
    for key, (layer, value) in entries.items():
        if not torch.isfinite(value).all():
            raise MotionError(
                f"{name}: {shown(key)} contains NaN or infinity; the file is damaged or its training failed."
            )
        target = f"{layer.name}.qk" if len(value) == 1 else f"{layer.name}.{_attention(name, key)}.v"
        if target not in tensors:
            tensors[target], keys[target] = value, key
        elif target.endswith(".v"):
            both = f"{shown(keys[target])} and {shown(key)}"
            raise MotionError(f"{name}: the keys {both} are both a value embedding of {target[:-2]}.")
        elif not torch.equal(tensors[target], value):
            raise MotionError(
                f"{name}: the query-key embeddings {shown(keys[target])} and {shown(key)} differ, but both attentions "
                f"of a layer share one here: this file cannot be represented."
            )
    if not tensors:
        raise MotionError(f"{name} is an empty dictionary: it holds no embedding.")
    _check_complete(name, tensors)
    return tensors


def _check_complete(name: str, tensors: Mapping[str, Tensor]) -> None:
    """Raise MotionError unless every layer has the query-key embedding if one has it, and both value embeddings if one
    has one."""
    parts = [parts for parts in (PARTS[:1], PARTS[1:]) if any(key.endswith(parts) for key in tensors)]
    layers = {layer_of(key) for key in tensors}
    for key in (f"{layer}.{part}" for layer in sorted(layers) for part in itertools.chain(*parts)):
        if key not in tensors:
            kind = "query-key" if key.endswith("qk") else f"{key.rsplit('.', 2)[1]} value"
            raise MotionError(
                f"{name} holds no {kind} embedding for {layer_of(key)}, though it holds others that go with it: ask "
                f"its authors for the whole file."
            )


def _layer(name: str, key: str) -> Site:
    """The temporal layer that a key names, whatever surrounds the name and whichever of . _ / separates it."""
    words = re.sub(r"[._/]+", ".", key)
    for layer in MODELSCOPE.layers:
        if re.search(rf"(?<![a-z0-9]){re.escape(layer.name.replace('_', '.'))}(?![0-9])", words):
            return layer
    raise MotionError(f"{name}: the key {shown(key)} names no temporal layer of {MODELSCOPE.describe()}.")


def _attention(name: str, key: str) -> str:
    found = set(re.findall(r"attn[._/]?([12])(?![0-9])", key))
    if len(found) != 1:
        raise MotionError(
            f"{name}: the key {shown(key)} is a value embedding, but does not say whether it belongs to attn1 or attn2."
        )
    return f"attn{found.pop()}"


def _check_shape(name: str, key: str, value: Any, layer: Site) -> None:
    if not isinstance(value, Tensor):
        raise MotionError(f"{name}: {key} is a {type(value).__name__}, but only tensors are expected.")
    if value.layout is not torch.strided or value.dtype not in TYPES or value.is_nested:
        raise MotionError(f"{name}: {key} is not an ordinary tensor of floating-point numbers ({value.dtype}).")
    shape = list(value.shape)
    if len(shape) != 3 or 0 in shape:
        raise MotionError(f"{name}: {key} has the shape {shape}, but [positions, frames, channels] is expected.")
    if shape[2] != layer.channels:
        raise MotionError(
            f"{name}: {key} has {shape[2]} channels, but {layer.name} has {layer.channels} in {MODELSCOPE.describe()}."
        )
    if value.untyped_storage().nbytes() < value.numel() * value.element_size():
        raise MotionError(f"{name}: {key} claims the shape {shape}, but the file holds fewer values.")


def _stored_rows(name: str, tensors: Mapping[str, Tensor]) -> int:
    rows = {key: tensor.shape[1] for key, tensor in tensors.items()}
    first = next(iter(rows))
    for key, count in rows.items():
        if count != rows[first]:
            raise MotionError(f"{name}: {first} has {rows[first]} frames, but {key} has {count}; all must agree.")
    return rows[first]


def _trained_rows(name: str, tensors: Mapping[str, Tensor], stored: int) -> int:
    """How many rows come before those that are zero in every tensor."""
    used = torch.zeros(stored, dtype=torch.bool)
    for tensor in tensors.values():
        used |= (tensor != 0).any(dim=2).any(dim=0)
    if not used.any():
        raise MotionError(f"{name} holds zeros only: it was never trained.")
    return int(used.nonzero().max()) + 1


def _grids(name: str, tensors: Mapping[str, Tensor], grid: tuple[int, int] | None) -> dict[str, tuple[int, int]]:
    """(h, w) of every layer. All follow from the shallowest value embedding, since every halving rounds up; a file of
    query-key embeddings alone has no grid, so 1×1 stands for it unless one is given."""
    layers = {layer.name: layer for layer in MODELSCOPE.layers if any(k.startswith(f"{layer.name}.") for k in tensors)}
    positions: dict[int, tuple[int, str]] = {}
    for key, tensor in tensors.items():
        if not key.endswith(".v"):
            continue
        depth = layers[key.rsplit(".", 2)[0]].depth
        known, other = positions.setdefault(depth, (len(tensor), key))
        if known != len(tensor):
            raise MotionError(f"{name}: {other} has {known} positions, but {key}, as deep, has {len(tensor)}.")
    if not positions:
        return {key: grid or (1, 1) for key in layers}
    top, bottom = min(positions), max(positions)
    candidates = [
        pair
        for pair in _factors(positions[top][0])
        if all(math.prod(_halved(pair, depth - top)) == count for depth, (count, _) in positions.items())
    ]
    if not candidates:
        counts = ", ".join(f"{count} at {key}" for count, key in positions.values())
        raise MotionError(f"{name}: no frame size explains the numbers of positions: {counts}.")
    fitting = [pair for pair in candidates if grid is None or _halved(pair, bottom - top) == tuple(grid)]
    if not fitting:
        options = ", ".join("×".join(map(str, _halved(pair, bottom - top))) for pair in candidates)
        raise MotionError(f"grid is {grid}, which does not fit {name}: possible grids (h×w) are {options}.")
    best = min(fitting, key=lambda pair: abs(math.log(pair[1] / pair[0] / USUAL_ASPECT)))
    return {key: _halved(best, max(0, layer.depth - top)) for key, layer in layers.items()}


def _factors(count: int) -> list[tuple[int, int]]:
    return [(h, count // h) for h in range(1, count + 1) if count % h == 0]


def _halved(size: tuple[int, int], times: int) -> tuple[int, int]:
    for _ in range(times):
        size = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    return size


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
