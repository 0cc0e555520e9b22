"""The motion embedding file: safetensors, half precision, trained rows only, with a header that says everything.

Tensors are `<layer>.qk`, `<layer>.attn1.v` and `<layer>.attn2.v`. The header's strings (JSON where structured) are
`format`, `format_version`, `backbone`, `grids`, `frames`, `details`, and `modelspec.*` keys that model browsers show.
Version 2 adds `integration`, `qk_axes` and `v_axes`, `<tensor>.map` for concatenated tensors, and `compression`, the
bits of a value in compressed tensors (see compress.py); it is written only where they are needed, so that plain files
stay readable for version 1.
Reading trusts nothing: sizes, shapes, names and values are checked, and every complaint names file and field.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from . import __version__
from .atomic import replacing
from .compress import pack, unpack
from .embedding import MAP, Backbone, MotionEmbedding, TemporalLayer
from .errors import MotionError
from .integration import EXTRA_CHANNELS

FORMAT = "motion_embedding"
VERSION = 2  # the newest that can be read
LARGEST_HEADER = 8 << 20  # bytes; a header with a preview is well below 200 kB
MODELSPEC = ("title", "author", "description", "license", "date", "thumbnail")
CHOICES = {"integration": "add", "qk_axes": "none", "v_axes": "2d"}  # fields of version 2, and what version 1 means


def save_embedding(
    path: str | Path, embedding: MotionEmbedding, dtype: torch.dtype = torch.float16, bits: int | None = None
) -> None:
    """Write an embedding, whole or not at all. bits: of a value in a compressed file, 2, 4 or 8; None compresses
    nothing.

    Raises MotionError when it holds nothing, or values that are not finite in `dtype`, or cannot be written.
    """
    if not embedding.tensors:
        raise MotionError(f"The embedding holds no tensors (components none): there is nothing to write to {path}.")
    tensors = {k: t.detach().to("cpu", dtype).contiguous() for k, t in embedding.tensors.items()}
    for key, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise MotionError(f"The embedding's tensor {key} is not finite as {dtype}: it was not written to {path}.")
    header = header_of(embedding)
    if bits is not None:
        tensors = pack(tensors, bits)
        header |= {"format_version": "2", "compression": str(bits)}
    write(path, tensors, header)


def load_embedding(path: str | Path) -> MotionEmbedding:
    """Read an embedding in float32.

    Raises MotionError, naming file and field, for anything but a sound file of a known version.
    """
    tensors, header = read(path)
    return embedding_from(path, tensors, header, FORMAT)


def header_of(embedding: MotionEmbedding, format: str = FORMAT) -> dict[str, str]:
    details = dict(embedding.details)
    spec = {f"modelspec.{k}": str(details.pop(k)) for k in MODELSPEC if details.get(k)}
    chosen = {name: getattr(embedding, name) for name, usual in CHOICES.items() if getattr(embedding, name) != usual}
    return {
        "format": format,
        "format_version": "2" if chosen else "1",
        "library_version": __version__,
        "backbone": json.dumps(
            {"family": embedding.backbone.family, "layers": [asdict(layer) for layer in embedding.backbone.layers]}
        ),
        "grids": json.dumps(embedding.grids),
        "frames": str(embedding.frames),
        **chosen,
        "details": json.dumps(details),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{embedding.backbone.family}/motion-embedding",
        **spec,
    }


def embedding_from(
    path: str | Path, tensors: dict[str, Tensor], header: Mapping[str, str], format: str
) -> MotionEmbedding:
    """The embedding that tensors and header describe, every field checked."""
    name = Path(path).name
    if header.get("format") != format:
        kind = f"a {header['format']} file" if "format" in header else "a safetensors file of another kind"
        raise MotionError(f"{name} is {kind}, not a {format} file: choose a file that this library wrote or converted.")
    version = header_value(name, header, "format_version", int)
    if version > VERSION:
        raise MotionError(f"{name} has format_version {version}, newer than {VERSION}: update this library to read it.")
    described = header_value(name, header, "backbone", dict)
    try:
        layers = tuple(_layer(**layer) for layer in described["layers"])
        backbone = Backbone(str(described["family"]), layers)
        grids = {str(k): (int(h), int(w)) for k, (h, w) in header_value(name, header, "grids", dict).items()}
    except (KeyError, TypeError, ValueError) as error:
        raise MotionError(f"{name}: the header fields backbone or grids are malformed ({error}).") from error
    frames = header_value(name, header, "frames", int)
    details = {**header_value(name, header, "details", dict)}
    details |= {k: header[f"modelspec.{k}"] for k in MODELSPEC if f"modelspec.{k}" in header}
    chosen = {field: header.get(field, usual) for field, usual in CHOICES.items()}
    try:
        embedding = MotionEmbedding({}, grids, frames, backbone, details, **chosen)
    except MotionError as error:
        raise MotionError(f"{name}: the header field {error}") from error
    if "compression" in header:
        tensors = unpack(name, tensors, header_value(name, header, "compression", int))
    embedding = embedding.with_tensors({k: t.float() for k, t in tensors.items()})
    _check_tensors(name, embedding)
    return embedding


def _layer(name: str, channels: int, depth: int, block: Literal["in", "down", "mid", "up"]) -> TemporalLayer:
    if not (isinstance(name, str) and type(channels) is int and type(depth) is int):
        raise TypeError(f"layer {name!r} needs a name, whole numbers of channels and a whole depth")
    if channels < 1 or not 0 <= depth < 16 or block not in ("in", "down", "mid", "up"):
        raise ValueError(f"layer {name} cannot have {channels} channels at depth {depth} of a block {block!r}")
    return TemporalLayer(name, channels, depth, block)


def _check_tensors(name: str, embedding: MotionEmbedding) -> None:
    widths = embedding.backbone.signature()
    for layer in embedding.grids:
        if layer not in widths:
            raise MotionError(f"{name}: the header field grids names {layer}, which the field backbone does not have.")
    maps = [tensor for key, tensor in embedding.tensors.items() if key.endswith(MAP) and tensor.ndim]
    expected = embedding.shapes(len(maps[0]) if maps else EXTRA_CHANNELS)
    if not embedding.tensors:
        raise MotionError(f"{name} holds no tensors.")
    kinds = {_kind(key) for key in embedding.tensors}
    for key in expected:
        if _kind(key) in kinds and key not in embedding.tensors:
            raise MotionError(f"{name}: the tensor {key} is missing, which the header field grids promises.")
    for key, tensor in embedding.tensors.items():
        if key not in expected:
            raise MotionError(f"{name} holds a tensor {key}, which belongs to no layer that its header names.")
        if tuple(tensor.shape) != expected[key]:
            shape = list(tensor.shape)
            raise MotionError(f"{name}: {key} has the shape {shape}, but {list(expected[key])} is expected.")
        if not torch.isfinite(tensor).all():
            raise MotionError(f"{name}: {key} contains NaN or infinity; the file is damaged or its training failed.")


def _kind(key: str) -> str:
    return key.removesuffix(MAP).rpartition(".")[2]


def write(path: str | Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, metadata=header))


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header strings of any safetensors file, after checking that its sizes are honest."""
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(LARGEST_HEADER, max(size - 8, 0)):
                raise MotionError(
                    f"{path.name} is not a safetensors file, or is cut short: its header should have {length} bytes."
                )
            header = json.loads(file.read(length))
        for key, entry in header.items():
            if key != "__metadata__" and entry["data_offsets"][1] > size - 8 - length:
                raise MotionError(
                    f"{path.name} is cut short: its tensor {key} ends {entry['data_offsets'][1]} bytes into the data, "
                    f"but there are only {size - 8 - length}."
                )
        return load(path.read_bytes()), dict(header.get("__metadata__", {}))
    except OSError as error:
        raise MotionError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (SafetensorError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise MotionError(f"{path.name} is not a sound safetensors file: {error}") from error


def header_value(name: str, header: Mapping[str, str], key: str, kind: type) -> Any:
    """The JSON value of a header field.

    Raises MotionError when it is missing, malformed or not of this kind.
    """
    try:
        value = json.loads(header[key])
    except KeyError:
        raise MotionError(f"{name}: the header field {key} is missing.") from None
    except (ValueError, RecursionError) as error:
        raise MotionError(f"{name}: the header field {key} is not JSON ({error}).") from error
    if not isinstance(value, kind) or isinstance(value, bool):
        raise MotionError(f"{name}: the header field {key} should be a {kind.__name__}, not {value!r:.60}.")
    return value
