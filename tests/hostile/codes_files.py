"""Encoders of motion codes that are not what the recipe wrote, to read a clip with; and motion files whose account of
what was read of their clip is not one, to be found."""

from __future__ import annotations

import json
import random
import shutil
from functools import cache
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from motion_lib.bundled.codes import CODES

from .assets import Assets
from .checkpoints import (
    OF_BYTES,
    VALUES,
    Header,
    Tensors,
    another_field,
    another_shape,
    another_type,
    missing_or_more,
)
from .judge import Case

SEEDS = 8
ENCODER, MOTION = "codes.safetensors", "motions/bar.safetensors"


def valid(folder: Path, assets: Assets) -> list[Case]:
    shutil.copy(encoder(), folder / ENCODER)
    (folder / "motions").mkdir()
    shutil.copy(assets.motion, folder / MOTION)
    return [_read("read", assets), _find("find", assets), _words("words")]


def case(seed: int, folder: Path, assets: Assets) -> Case:
    chance = random.Random(f"codes files {seed}")
    if seed % 3 == 2:
        (folder / "motions").mkdir()
        with safe_open(assets.motion, "pt") as file:
            tensors, header = {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata())
        other_reading(chance, header)
        save_file(tensors, folder / MOTION, header)
        return chance.choice((_find("another reading", assets), _words("another reading")))
    kind = chance.choice(KINDS)
    if kind in OF_BYTES:
        (folder / ENCODER).write_bytes(kind(chance, encoder().read_bytes()))
    else:
        with safe_open(encoder(), "pt") as file:
            tensors, header = {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata())
        kind(chance, tensors, header)
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / ENCODER, header)
    return _read(kind.__name__.replace("_", " "), assets)


@cache
def encoder() -> Path:
    return next(iter(CODES.values()))


def no_numbers(chance: random.Random, tensors: Tensors, header: Header) -> None:
    key = chance.choice(sorted(tensors))
    tensors[key] = torch.full_like(tensors[key], chance.choice((float("nan"), float("inf"), 65504.0, 0.0)))


def other_design(chance: random.Random, tensors: Tensors, header: Header) -> None:
    """Another value of what the encoder is made of: one that would take all memory among them."""
    design = json.loads(header["design"])
    huge = (0, -1, 4096, 4097, 2**40, 1.5, True, "64", "linear", "vq", "latents")
    for _ in range(chance.choice((1, 1, 3, 8))):
        design[chance.choice([*design, "unknown"])] = chance.choice((*huge, *VALUES))
    header["design"] = json.dumps(design)
    if chance.random() < 0.2:
        header["most"] = json.dumps(chance.choice(VALUES))


def other_grids(chance: random.Random, tensors: Tensors, header: Header) -> None:
    """Layers of another size, or as wide as a header may say."""
    text = chance.choice(("grids", "backbone", "frames"))
    value = json.loads(header[text])
    if text == "frames":
        value = chance.choice((0, 1, 17, 2**20, 2**62))
    elif text == "grids":
        value[chance.choice(sorted(value))] = chance.choice(([1, 1], [16384, 16384], [0, 4], [8], "x"))
    else:
        chance.choice(value["layers"])["channels"] = chance.choice((1, 2**20, -1, "x"))
    header[text] = json.dumps(value)


def other_reading(chance: random.Random, header: Header) -> None:
    details = json.loads(header["details"])
    usual = {"by": "x", "distance": 0.5, "words": {"object": "left", "camera": "still"}, "object": [0.1], "camera": [1]}
    usual[chance.choice([*usual, "other"])] = chance.choice((*VALUES, [1e9], [0.0] * 5000, ["a"], {"object": 3}))
    details["reading"] = usual if chance.random() < 0.8 else chance.choice(VALUES)
    header["details"] = json.dumps(details)


KINDS = (
    *OF_BYTES,
    another_field,
    another_type,
    another_shape,
    missing_or_more,
    no_numbers,
    *(other_design, other_design, other_design, other_grids, other_grids),
)


def _read(name: str, assets: Assets) -> Case:
    return Case(name, ("read", assets.clip, "--codes", ENCODER, "--out", "out.safetensors"), ("out*",))


def _find(name: str, assets: Assets) -> Case:
    return Case(name, ("find", assets.clip, "motions"))


def _words(name: str) -> Case:
    return Case(name, ("find", "motions", "--text", "moves left"))
