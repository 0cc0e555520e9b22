"""Checkpoints of a stopped run that are not what the run left, and are resumed."""

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from .assets import Assets, training
from .judge import Case

SEEDS = 6
CHECKPOINT = "out.unfinished.safetensors"
VALUES = (
    None,
    True,
    -1,
    0,
    1,
    2**63,
    2**70,
    1e400,
    float("nan"),
    "",
    "2",
    "x" * 9999,
    "\x1b[2J",
    "\ud800",
    [],
    {},
    [[]],
)
DTYPES = (
    torch.int8,
    torch.uint8,
    torch.int64,
    torch.bool,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.complex64,
)
DTYPES += (torch.float8_e4m3fn,)

Tensors = dict[str, torch.Tensor]
Header = dict[str, str]


def valid(folder: Path, assets: Assets) -> list[Case]:
    shutil.copytree(assets.stopped, folder, dirs_exist_ok=True)
    return [resumed("valid", assets)]


def resumed(name: str, assets: Assets) -> Case:
    """A run that has carried on, and ends with what no file can hold, leaves the checkpoint of its last step."""
    argv = (*training(assets, 3), "--resume", "--out", "out.safetensors")
    return Case(name, argv, writes=("out*",), leaves=(CHECKPOINT,))


def case(seed: int, folder: Path, assets: Assets) -> Case:
    chance = random.Random(f"checkpoints {seed}")
    shutil.copytree(assets.stopped, folder, dirs_exist_ok=True)
    path = folder / CHECKPOINT
    kind = KINDS[seed % len(KINDS)]
    if kind in OF_BYTES:
        path.write_bytes(kind(chance, path.read_bytes()))
    else:
        with safe_open(path, "pt") as file:
            tensors, header = {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata())
        kind(chance, tensors, header)
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, header)
    return resumed(kind.__name__.replace("_", " "), assets)


def damaged(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 5, 50))):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def damaged_header(chance: random.Random, data: bytes) -> bytes:
    length = struct.unpack("<Q", data[:8])[0]
    return data[:8] + damaged(chance, data[8 : 8 + length]) + data[8 + length :]


def cut_short(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def another_field(chance: random.Random, tensors: Tensors, header: Header) -> None:
    """A field of the header is missing, or of another type."""
    key = chance.choice(sorted(header))
    if chance.random() < 0.3:
        del header[key]
    else:
        # Half a character cannot be written as such, but as an escape of JSON.
        header[key] = json.dumps(chance.choice(VALUES)).replace("\udcff", "?")


def other_settings(chance: random.Random, tensors: Tensors, header: Header) -> None:
    for key in ("settings", "step", "details"):
        try:
            stored: Any = json.loads(header[key])
        except (KeyError, ValueError):
            continue
        if isinstance(stored, dict) and stored:
            stored[chance.choice([*stored, "unknown"])] = chance.choice(VALUES)
            header[key] = json.dumps(stored)


def another_type(chance: random.Random, tensors: Tensors, header: Header) -> None:
    key = chance.choice(sorted(tensors))
    tensors[key] = tensors[key].to(chance.choice(DTYPES))


def another_shape(chance: random.Random, tensors: Tensors, header: Header) -> None:
    key = chance.choice(sorted(tensors))
    changes: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
        lambda t: t[:0],
        lambda t: t[None],
        lambda t: t.flatten(),
        lambda t: torch.cat([t, t]),
        lambda t: t.sum(),
        lambda t: t.transpose(0, -1),
    )
    tensors[key] = chance.choice(changes)(tensors[key]).clone()


def missing_or_more(chance: random.Random, tensors: Tensors, header: Header) -> None:
    key = chance.choice(sorted(tensors))
    tensor = tensors.pop(key)
    if chance.random() < 0.5:
        tensors[chance.choice((key + "x", "spatial/" + key, "generator", "losses", "a/" * 500, "optimizer/"))] = tensor


def no_numbers(chance: random.Random, tensors: Tensors, header: Header) -> None:
    key = chance.choice([key for key in sorted(tensors) if tensors[key].is_floating_point()])
    tensors[key] = torch.full_like(tensors[key], chance.choice((float("nan"), float("inf"), 3e38, -1.0)))


def another_generator(chance: random.Random, tensors: Tensors, header: Header) -> None:
    size = chance.choice((0, 1, 16, len(tensors["generator"]), 10**6))
    tensors["generator"] = torch.tensor(list(chance.randbytes(size)), dtype=torch.uint8)


OF_BYTES: tuple[Callable, ...] = (damaged, damaged_header, cut_short)
KINDS: tuple[Callable, ...] = (
    *(*OF_BYTES, another_field, other_settings, another_type, another_shape, missing_or_more, no_numbers),
    another_generator,
)
