"""The motion embedding file: safetensors, half precision, trained rows only, with a header that says everything.

Tensors are `<layer>.qk`, `<layer>.attn1.v` and, of UNets, `<layer>.attn2.v`. The header's strings (JSON where
structured) are `format`, `format_version`, `backbone`, `grids`, `frames`, `details`, and `modelspec.*` keys that model
browsers show.
Version 2 adds `integration`, `qk_axes` and `v_axes`, `<tensor>.map` for concatenated tensors, and `compression`, the
bits of a value in compressed tensors (see compress.py). Version 3 adds models that are a stack of equal blocks, whose
layers are of a block early, middle or late, and v_axes coarse. Each is written only where it is needed, so that plain
files stay readable for version 1.
Reading trusts nothing: what the header says is checked against itself, and against the sizes and shapes of the tensors,
before any of them is read; then their values; and every complaint names file and field. What could not be read is not
written either.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from .. import __version__
from ..errors import MotionError, shown, well_formed
from ..method.embedding import MAP, STAGES, THIRDS, Backbone, MotionEmbedding, Site
from ..method.integration import EXTRA_CHANNELS
from .atomic import replacing
from .compress import BITS, CODES, pack, unpack, unpacked_shapes
from .details import read_details, written_details
from .reading import regular_file

FORMAT = "motion_embedding"
VERSION = 3  # the newest that can be read
LARGEST_HEADER = 8 << 20  # bytes; a header with a preview is well below 200 kB
MOST_VALUES = 1 << 31  # of an embedding: 8 GiB in float32
MOST_LAYERS, DEEPEST, WIDEST = 1024, 15, 1 << 20  # a backbone's layers, their halvings and channels
LARGEST_SIDE, MOST_FRAMES = 1 << 14, 1 << 20  # of a grid; of a motion
LONGEST_NAME = 200  # characters of a layer or a family
MODELSPEC = ("title", "author", "description", "license", "date", "thumbnail")
PLAIN = ("F16", "BF16", "F32", "F64")  # what values may be stored as
CODED = ("U8",)
CHOICES = {"integration": "add", "qk_axes": "none", "v_axes": "2d"}  # fields of version 2, and what version 1 means


class Stored(NamedTuple):
    """What a header says about a tensor."""

    dtype: str
    shape: tuple[int, ...]


def save_embedding(
    path: str | Path, embedding: MotionEmbedding, dtype: torch.dtype = torch.float16, bits: int | None = None
) -> None:
    """Write an embedding, whole or not at all. bits: of a value in a compressed file, 2, 4 or 8; None compresses
    nothing.

    Raises MotionError when it holds nothing, or values that are not finite in `dtype`, or anything that
    `load_embedding` would refuse, or cannot be written.
    """
    if not embedding.tensors:
        raise MotionError(f"The embedding holds no tensors (components none): there is nothing to write to {path}.")
    tensors = {k: t.detach().to("cpu", dtype).contiguous() for k, t in embedding.tensors.items()}
    for key, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise MotionError(f"The embedding's tensor {key} is not finite as {dtype}: it was not written to {path}.")
    name = Path(path).name
    header = header_of(embedding)
    _check_shapes(name, described(name, header, FORMAT), {key: tuple(t.shape) for key, t in tensors.items()})
    if bits is not None:
        tensors = pack(tensors, bits)
        header |= {"format_version": max("2", header["format_version"]), "compression": str(bits)}
    write(path, tensors, header)


def load_embedding(path: str | Path) -> MotionEmbedding:
    """Read an embedding in float32.

    Raises MotionError, naming file and field, for anything but a sound file of a known version.
    """
    tensors, header = read(path, FORMAT)
    return embedding_from(path, tensors, header, FORMAT)


def header_of(embedding: MotionEmbedding, format: str = FORMAT) -> dict[str, str]:
    details = written_details(embedding.origin, embedding.advice)
    spec = {f"modelspec.{k}": well_formed(str(details.pop(k))) for k in MODELSPEC if details.get(k)}
    chosen = {name: getattr(embedding, name) for name, usual in CHOICES.items() if getattr(embedding, name) != usual}
    return {
        "format": format,
        "format_version": "3" if _newest(embedding) else "2" if chosen else "1",
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


def _newest(embedding: MotionEmbedding) -> bool:
    return embedding.backbone.stacked or embedding.v_axes == "coarse"


def embedding_from(
    path: str | Path, tensors: dict[str, Tensor], header: Mapping[str, str], format: str
) -> MotionEmbedding:
    """The embedding that tensors and header describe, every field checked."""
    name = Path(path).name
    empty = described(name, header, format)
    if "compression" in header:
        tensors = unpack(name, tensors, _bits(name, header))
    _check_shapes(name, empty, {key: tuple(tensor.shape) for key, tensor in tensors.items()})
    embedding = empty.with_tensors({k: t.float() for k, t in tensors.items()})
    for key, tensor in embedding.tensors.items():
        if not torch.isfinite(tensor).all():
            raise MotionError(f"{name}: {key} contains NaN or infinity; the file is damaged or its training failed.")
    return embedding


def described(name: str, header: Mapping[str, str], format: str) -> MotionEmbedding:
    """The embedding that a header describes, without its tensors.

    Raises MotionError, naming the file `name` and the field, for what makes no sense.
    """
    name = shown(name)
    if header.get("format") != format:
        kind = f"a {shown(header['format'])} file" if "format" in header else "a safetensors file of another kind"
        raise MotionError(f"{name} is {kind}, not a {format} file: choose a file that this library wrote or converted.")
    version = header_value(name, header, "format_version", int)
    if version > VERSION:
        raise MotionError(
            f"{name} has format_version {shown(version)}, newer than {VERSION}: update this library to read it."
        )
    try:
        backbone = _backbone(header_value(name, header, "backbone", dict))
        grids = _grids(header_value(name, header, "grids", dict), backbone)
    except (KeyError, TypeError, ValueError) as error:
        reason = shown(str(error))
        raise MotionError(f"{name}: the header fields backbone or grids are malformed ({reason}).") from error
    frames = header_value(name, header, "frames", int)
    if not 1 <= frames <= MOST_FRAMES:
        raise MotionError(f"{name}: the header field frames is {shown(frames)}, but it should be 1 to {MOST_FRAMES}.")
    details = {**header_value(name, header, "details", dict)}
    details |= {k: header[f"modelspec.{k}"] for k in MODELSPEC if f"modelspec.{k}" in header}
    chosen = {field: header.get(field, usual) for field, usual in CHOICES.items()}
    try:
        return MotionEmbedding({}, grids, frames, backbone, *read_details(details), **chosen)
    except MotionError as error:
        raise MotionError(f"{name}: the header field {error}") from error


def _backbone(value: Mapping[str, Any]) -> Backbone:
    if not isinstance(value["layers"], list) or not 1 <= len(value["layers"]) <= MOST_LAYERS:
        raise ValueError(f"a backbone has 1 to {MOST_LAYERS} layers")
    layers = tuple(_layer(**layer) for layer in value["layers"])
    if len({layer.name for layer in layers}) < len(layers):
        raise ValueError("two layers have one name")
    if len({layer.block in THIRDS for layer in layers}) > 1:
        raise ValueError("its layers are partly those of a UNet and partly those of a stack of blocks")
    return Backbone(_name(value["family"]), layers)


def _layer(name: str, channels: int, depth: int, block: Any) -> Site:
    if not (type(channels) is int and type(depth) is int):
        raise TypeError(f"layer {shown(name, 60)} needs whole numbers of channels and a whole depth")
    if not 1 <= channels <= WIDEST or not 0 <= depth <= DEEPEST or block not in (*STAGES, *THIRDS):
        sizes = f"{shown(channels, 40)} channels at depth {shown(depth, 40)}"
        raise ValueError(f"layer {shown(name, 60)} cannot have {sizes} of a block {shown(block, 40)}")
    return Site(_name(name), channels, depth, block)


def _grids(value: Mapping[str, Any], backbone: Backbone) -> dict[str, tuple[int, int]]:
    known = backbone.signature()
    grids = {}
    for layer, (h, w) in value.items():
        if layer not in known:
            raise ValueError(f"grids names {shown(layer, 60)}, which the backbone does not have")
        if not all(type(side) is int and 1 <= side <= LARGEST_SIDE for side in (h, w)):
            raise ValueError(f"{shown(layer, 60)} cannot have a grid of {shown(h, 40)}x{shown(w, 40)}")
        grids[layer] = (h, w)
    return grids


def _name(value: Any) -> str:
    if not isinstance(value, str) or value != shown(value, LONGEST_NAME):
        raise TypeError(f"{shown(value, 60)} is not a name")
    return value


def _bits(name: str, header: Mapping[str, str]) -> int:
    bits = header_value(name, header, "compression", int)
    if bits not in BITS:
        raise MotionError(f"{name}: the header field compression is {shown(bits)}, but it should be one of {BITS}.")
    return bits


def _check_shapes(name: str, empty: MotionEmbedding, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise MotionError unless these are the shapes of all the tensors that such an embedding has."""
    name = shown(name)
    if not shapes:
        raise MotionError(f"{name} holds no tensors.")
    maps = [shape for key, shape in shapes.items() if key.endswith(MAP) and shape]
    expected = empty.shapes(maps[0][0] if maps else EXTRA_CHANNELS)
    kinds = {_kind(key) for key in shapes}
    for key in expected:
        if _kind(key) in kinds and key not in shapes:
            raise MotionError(f"{name}: the tensor {key} is missing, which the header field grids promises.")
    for key, shape in shapes.items():
        if key not in expected:
            raise MotionError(f"{name} holds a tensor {shown(key)}, which belongs to no layer that its header names.")
        if shape != expected[key]:
            found = shown(list(shape))
            raise MotionError(f"{name}: {key} has the shape {found}, but {list(expected[key])} is expected.")
    if (count := sum(map(math.prod, shapes.values()))) > MOST_VALUES:
        raise MotionError(f"{name} holds {count:,} values, but no motion has more than {MOST_VALUES:,}.")


def _kind(key: str) -> str:
    return key.removesuffix(MAP).rpartition(".")[2]


def write(path: str | Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, metadata=header))


def read(path: str | Path, format: str | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header strings of any safetensors file, after checking that its sizes are honest; with a format also,
    before any tensor is read, that all of them are what the header of an embedding promises."""
    path = Path(path)
    with _readable(path) as name:
        header, stored = _header(path, name)
        if format is not None:
            _check_stored(name, described(path.name, header, format), stored, header)
        return load(path.read_bytes()), header


def header_in(path: str | Path) -> dict[str, str]:
    """The header strings alone, of a file whose sizes are honest."""
    path = Path(path)
    with _readable(path) as name:
        return _header(path, name)[0]


@contextmanager
def _readable(path: Path) -> Iterator[str]:
    """Whatever goes wrong inside while `path` is read is a MotionError; gives the name that sentences have for it."""
    name = shown(path.name)
    try:
        yield name
    except OSError as error:
        raise MotionError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (SafetensorError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise MotionError(f"{name} is not a sound safetensors file: {shown(str(error))}") from error


def _header(path: Path, name: str) -> tuple[dict[str, str], dict[str, Stored]]:
    size = regular_file(path)
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(LARGEST_HEADER, max(size - 8, 0)):
            raise MotionError(
                f"{name} is not a safetensors file, or is cut short: its header should have {length} bytes."
            )
        return _parsed(name, file.read(length), size - 8 - length)


def _parsed(name: str, header: bytes, there: int) -> tuple[dict[str, str], dict[str, Stored]]:
    """The strings and the tensors of a header; there: bytes of data that follow it."""
    entries = json.loads(header, object_pairs_hook=_unique)
    strings = entries.pop("__metadata__", {})
    if not isinstance(strings, dict) or not all(isinstance(text, str) for text in strings.values()):
        raise ValueError("its __metadata__ should hold texts alone")
    needed = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    if needed > there:
        key = next(key for key, entry in entries.items() if entry["data_offsets"][1] == needed)
        raise MotionError(
            f"{name} is cut short: its tensor {shown(key)} ends {shown(needed, 40)} bytes into the data, but there are "
            f"only {there}."
        )
    if needed < there:
        raise ValueError(f"{there} bytes of data follow the header, but its tensors end after {shown(needed, 40)}")
    return strings, {key: Stored(entry["dtype"], tuple(entry["shape"])) for key, entry in entries.items()}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is there twice")
    return found


def _check_stored(name: str, empty: MotionEmbedding, stored: Mapping[str, Stored], header: Mapping[str, str]) -> None:
    shapes = {key: tensor.shape for key, tensor in stored.items()}
    if "compression" in header:
        shapes = unpacked_shapes(name, shapes, _bits(name, header))
    _check_shapes(name, empty, shapes)
    for key, (dtype, _) in stored.items():
        if dtype not in (CODED if "compression" in header and key.endswith(CODES) else PLAIN):
            raise MotionError(f"{name}: {shown(key)} is of the type {shown(dtype, 40)}, which no motion file has.")


def header_value(name: str, header: Mapping[str, str], key: str, kind: type) -> Any:
    """The JSON value of a header field.

    Raises MotionError when it is missing, malformed or not of this kind.
    """
    try:
        value = json.loads(header[key], object_pairs_hook=_unique)
    except KeyError:
        raise MotionError(f"{name}: the header field {key} is missing.") from None
    except (ValueError, RecursionError) as error:
        raise MotionError(f"{name}: the header field {key} is not JSON ({shown(str(error))}).") from error
    if not isinstance(value, kind) or isinstance(value, bool):
        raise MotionError(f"{name}: the header field {key} should be a {kind.__name__}, not {shown(value, 60)}.")
    return value
