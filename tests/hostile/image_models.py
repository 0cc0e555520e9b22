"""Image models for `imagine` whose configurations, weights or words are not what they seem: those that make videos
of words or of a first picture, and those that edit a clip."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from .assets import Assets
from .judge import Case
from .model_folders import DAMAGES

SEEDS = 4
SIZE = ("--frames", "2", "--width", "16", "--height", "16", "--steps", "1")


def valid(folder: Path, assets: Assets) -> list[Case]:
    return [
        _imagine("a model", "one", folder, assets),
        _imagine("a picture", "two", folder, assets, "--image", assets.clip, "--image-as", "inverted"),
        _edit("an edit", folder, assets),
    ]


def case(seed: int, folder: Path, assets: Assets) -> Case:
    chance = random.Random(f"image models {seed}")
    picture = ("--image", assets.clip, "--image-as", chance.choice(("held", "inverted")))
    if seed % 3 == 2:
        case = _edit("", folder, assets)
    else:
        case = _imagine("", "model", folder, assets, *(picture if chance.random() < 0.4 else ()))
    damage = chance.choices(list(DAMAGES), [weight for weight, _ in DAMAGES.values()])[0]
    return Case(f"{damage}: {DAMAGES[damage][1](folder / 'model', chance)}", case.argv, case.writes)


def _edit(name: str, folder: Path, assets: Assets) -> Case:
    return _imagine(name, "model", folder, assets, "--edit", assets.clip, of=assets.editing)


def _imagine(name: str, model: str, folder: Path, assets: Assets, *more: str, of: str = "") -> Case:
    shutil.copytree(of or assets.images, folder / model)
    return Case(
        name, ("imagine", "--model", model, *SIZE, "--prompt", "a star", "--out", "video.gif", *more), ("video*",)
    )
