"""The files of a model folder in diffusers layout, read with distrust: a stranger made it.

Configurations are JSON objects of bounded size, of which only the fields that a class knows are used; weights are
tensors and nothing else, whose names and shapes are known before memory is taken for them.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from ..errors import MotionError, shown

LARGEST_CONFIG = 2**20  # bytes; real ones have about a thousandth of it
LARGEST_VOCABULARY = 2**25  # bytes of a file of words; CLIP's have two million
LONGEST = 200  # characters of a text in a configuration, and entries of a list
# Ways to compute the same attention. Any other name is one of a program that would be fetched and run.
ATTENTIONS = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
REFUSED = {
    "quantization_config": "quantised weights are not read",
    "auto_map": "code from a model folder is not run",
}
OLD_ATTENTION = re.compile(r"(.*attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)")
NEW_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def name_today(name: str) -> str:
    """The name of a tensor, whichever version wrote or reads it: transformers 4 puts text_model. before the names of a
    text encoder, and diffusers before 0.18 had other names for the projections of the autoencoder's attention."""
    name = name.removeprefix("text_model.")
    found = OLD_ATTENTION.fullmatch(name)
    return f"{found[1]}.{NEW_NAMES[found[2]]}.{found[3]}" if found else name


@dataclass(frozen=True)
class Part:
    """A model in a folder of its own, such as the unet of a model folder: its configuration, and the files of its
    weights.

    rename: gives the name that the class of the model has for a tensor, by the name in the files.
    """

    folder: Path
    config: dict[str, Any]
    files: tuple[Path, ...]
    rename: Callable[[str], str] = name_today

    @classmethod
    def open(cls, folder: Path, stems: Iterable[str]) -> Part:
        """stems: how the names of its weights begin. Raises MotionError for a configuration that cannot be read or asks
        for what is not done, and without weights."""
        files = tuple(weight_files(folder, stems))
        if not files:
            raise MotionError(f"{shown(str(folder))} holds no weights: {' or '.join(stems)} is missing.")
        return cls(folder, read_config(folder / "config.json"), files)

    def fields(self, known: Iterable[str], inside: str | None = None) -> dict[str, Any]:
        """The known fields of the configuration, or of an object in it. Raises MotionError for a value that no class
        could want."""
        config = self.config if inside is None else self.config.get(inside) or {}
        if not isinstance(config, dict):
            raise MotionError(f"{self.folder / 'config.json'}: {inside} should be a JSON object.")
        return plain_fields(config, known, self.folder / "config.json")

    def shapes(self) -> dict[str, torch.Size]:
        """The shape of every tensor by the name that `rename` gives it, without reading one."""
        return {self.rename(name): shape for file in self.files for name, shape in _shapes(file).items()}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor with the name that `rename` gives it, one after the other, as stored."""
        for file in self.files:
            for name, tensor in _tensors(file):
                yield self.rename(name), tensor


def weight_files(folder: Path, stems: Iterable[str]) -> list[Path]:
    """The files that hold the weights of a part: safetensors before pickles, full before half precision (fp16 in the
    name), one file before several.

    Raises MotionError when there are files of several sets of shards, so that it is not clear which belong together.
    """
    pattern = re.compile(
        rf"({'|'.join(stems)})(?P<half>\.fp16)?(-\d+-of-(?P<shards>\d+))?(?P<half_too>\.fp16)?\.(?P<kind>safetensors|bin)"
    )
    sets: dict[tuple[bool, bool, str], list[Path]] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        found = pattern.fullmatch(file.name)
        if found and file.is_file():
            half = bool(found["half"] or found["half_too"])
            sets.setdefault((found["kind"] == "bin", half, found["shards"] or ""), []).append(file)
    if not sets:
        return []
    (*best, shards), files = min(sets.items())
    others = [key for key in sets if [*key[:2]] == best and key[2] != shards]
    if shards and others:
        raise MotionError(f"{folder} holds weights in {shards} files and in {others[0][2]}: keep one of the two sets.")
    return files


def read_text(path: Path, largest: int = LARGEST_CONFIG) -> str:
    """Raises MotionError for what is not a file, is larger than any such file needs to be, or is not UTF-8."""
    try:
        if not path.is_file():
            raise MotionError(f"{path} is not a file.")
        with path.open("rb") as file:
            data = file.read(largest + 1)
        if len(data) > largest:
            raise MotionError(f"{path} is larger than {largest:,} bytes, which no file of this kind needs to be.")
        return data.decode()
    except (OSError, ValueError) as error:
        raise MotionError(f"{path} could not be read: {error}") from error


def read_json(path: Path, largest: int = LARGEST_CONFIG) -> dict[str, Any]:
    """The JSON object in a file. Raises MotionError, naming the file, when there is none."""
    text = read_text(path, largest)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MotionError(f"{path} could not be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise MotionError(f"{path} should hold a JSON object.")
    return value


def read_config(path: Path) -> dict[str, Any]:
    """A configuration that asks for nothing but weights and the classes of diffusers and transformers.

    Raises MotionError, naming the field, for one that wants code to be run or fetched, or that cannot be read.
    """
    config = read_json(path)
    _refuse(config, path)
    return config


def _refuse(config: Mapping[str, Any], path: Path) -> None:
    """In every object of a configuration that holds others, which is as deep as JSON could be read."""
    waiting = [config]
    while waiting:
        for name, value in waiting.pop().items():
            if name in REFUSED and value:
                raise MotionError(f"{path} has the field {name}, but {REFUSED[name]}: use a model without it.")
            if name.endswith("attn_implementation") and isinstance(value, str) and value not in ATTENTIONS:
                raise MotionError(
                    f"{path} asks for {shown(value, 80)} in {name}, but attention is computed by PyTorch alone: "
                    f"remove the field, or use another model."
                )
            if isinstance(value, dict):
                waiting.append(value)


def plain_fields(config: Mapping[str, Any], known: Iterable[str], path: Path) -> dict[str, Any]:
    """What a configuration says of known fields. Raises MotionError for numbers that are not finite or beyond 32 bits,
    and for texts and lists longer than any class could want."""
    fields = {name: config[name] for name in known if name in config}
    for name, value in fields.items():
        entries = value if isinstance(value, list) else [value]
        if len(entries) > LONGEST or not all(_plain(entry) for entry in entries):
            raise MotionError(f"{path}: {name} has a value that no such model has: {shown(value, 80)}.")
    return fields


def _plain(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < 2**31
    return value is None or (isinstance(value, str) and len(value) <= LONGEST)


def _shapes(file: Path) -> dict[str, torch.Size]:
    if file.suffix == ".bin":
        return {name: tensor.shape for name, tensor in _unpickled(file, "meta").items()}
    with safe_open(file, framework="pt") as stored:
        return {name: torch.Size(stored.get_slice(name).get_shape()) for name in stored.keys()}


def _tensors(file: Path) -> Iterator[tuple[str, Tensor]]:
    if file.suffix == ".bin":
        yield from _unpickled(file, "cpu").items()
        return
    with safe_open(file, framework="pt") as stored:
        for name in stored.keys():
            yield name, stored.get_tensor(name)


def _unpickled(file: Path, device: str) -> dict[str, Tensor]:
    """Raises ValueError for anything but tensors by name that take no more room than the file."""
    size = file.stat().st_size
    with zipfile.ZipFile(file) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > size:
            raise ValueError(f"{file.name} is compressed, as PyTorch never writes weights")
    found = torch.load(file, map_location=device, weights_only=True)
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) and isinstance(k, str) for k, v in found.items()):
        raise ValueError(f"{file.name} holds something else than tensors by name")
    if sum(tensor.numel() * tensor.element_size() for tensor in found.values()) > size:
        raise ValueError(f"the tensors in {file.name} would be larger than the file")
    return found
