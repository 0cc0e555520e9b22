"""The encoder's file: safetensors in half precision, whose header says how to build it and which model it is for.

Its header is that of an embedding file of format motion_codes, for the embeddings that the encoder makes: `backbone`,
`grids` and `frames` say at which layers, `details` for which model. To these it adds `design` and `most` (see seen.py).
Reading trusts nothing: the header is checked first, then that the tensors are those of such a design, then their
values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import MotionError, shown
from ..files.embedding_file import described, header_of, header_value, read, write
from .design import Design
from .model import MotionCodes
from .reader import Reader
from .seen import Seen

FORMAT, VERSION = "motion_codes", 1
LARGEST = 10 << 20  # bytes
SEEN = "seen."  # begins the names of the tensors that are no parameters


def save_codes(path: str | Path, reader: Reader) -> None:
    """Write an encoder, whole or not at all. Raises MotionError for values that are not finite in half precision, and
    for a file above 10 MiB."""
    tensors = {name: p.detach().to("cpu", torch.float16).contiguous() for name, p in reader.codes.state_dict().items()}
    tensors |= {f"{SEEN}mean": reader.seen.mean, f"{SEEN}whitening": reader.seen.whitening}
    tensors = {name: t.to("cpu", torch.float16).contiguous() for name, t in tensors.items()}
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise MotionError(f"The encoder's tensor {name} is not finite as float16: it was not written to {path}.")
    if (size := sum(t.nbytes for t in tensors.values())) > LARGEST:
        raise MotionError(
            f"The encoder would take {size} bytes, but files of codes have at most {LARGEST}: make it smaller."
        )
    header = header_of(reader.codes.decoder.empty, FORMAT) | {
        "format_version": str(VERSION),
        "design": json.dumps(reader.codes.design.recorded()),
        "most": json.dumps(reader.seen.most),
        "modelspec.architecture": f"{reader.backbone.family}/motion-codes",
    }
    write(path, tensors, header)


def load_codes(path: str | Path, device: torch.device | str = "cpu") -> Reader:
    """Read an encoder in float32.

    Raises MotionError, naming file and field, for anything but a sound file of a known version.
    """
    tensors, header = read(path)
    name = Path(path).name
    empty = described(name, header, FORMAT)
    if (version := header_value(name, header, "format_version", int)) > VERSION:
        raise MotionError(f"{shown(name)} has format_version {version}, newer than {VERSION}: update this library.")
    try:
        design = Design.of(header_value(name, header, "design", dict))
        if design.frames != empty.frames:
            raise MotionError(f"frames is {design.frames}, but the file is for {empty.frames}.")
        with torch.device(
            "meta"
        ):  # a header can name sizes that fill all memory; the tensors are compared with them first
            codes = MotionCodes(design, empty)
    except MotionError as error:
        raise MotionError(f"{shown(name)}: the header field design is malformed ({error})") from error
    own = {key: t for key, t in tensors.items() if not key.startswith(SEEN)}
    _check(name, codes.state_dict(), own)
    codes.load_state_dict({key: t.float() for key, t in own.items()}, assign=True)
    most = header_value(name, header, "most", float)
    size = 4 * design.width
    seen = {part: tensors.get(f"{SEEN}{part}", torch.empty(0)).float() for part in ("mean", "whitening")}
    if seen["mean"].shape != (size,) or seen["whitening"].shape != (size, size) or not most >= 0:
        raise MotionError(f"{shown(name)}: what it has seen in training is missing or malformed.")
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(tensors[key].contiguous().view(torch.uint8).numpy().tobytes())
    reader = Reader(codes.requires_grad_(False).eval(), Seen(**seen, most=most), digest.hexdigest()[:16])
    return reader.to(device)


def _check(name: str, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    if missing := sorted(wanted.keys() ^ found.keys()):
        raise MotionError(f"{shown(name)}: the tensor {shown(missing[0], 80)} is missing, or not one of this design.")
    for key, tensor in found.items():
        if tensor.shape != wanted[key].shape:
            raise MotionError(
                f"{shown(name)}: {shown(key, 80)} has the shape {list(tensor.shape)}, but the design needs "
                f"{list(wanted[key].shape)}."
            )
        if not bool(torch.isfinite(tensor.float()).all()):
            raise MotionError(f"{shown(name)}: {shown(key, 80)} contains NaN or infinity; the file is damaged.")
