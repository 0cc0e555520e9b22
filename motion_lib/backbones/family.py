"""What a family of video models brings along: a folder beside this file with a `family`, and one line in FAMILIES.

tests/backbones/test_families.py holds every family to the same contract, on its `tiny` model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import torch

from ..diffusion.process import Process
from .accelerate.abilities import AbleDenoiser
from .codec import Codec, picture_codec
from .folder import Part

# The folder of a family, by the class name in the configuration of its denoiser.
FAMILIES = {
    "UNet3DConditionModel": "unet3d",
    "UNetMotionModel": "animatediff",
    "WanTransformer3DModel": "wan",
}


class Load(Protocol):
    """Builds a frozen Denoiser on a device, or on the meta device without weights.

    Raises ValueError for weights that do not suit the configuration.
    """

    def __call__(self, part: Part, process: Process, device: torch.device, dtype: torch.dtype) -> AbleDenoiser: ...


@dataclass(frozen=True)
class Tiny:
    """A model of a family with random weights that runs in milliseconds, for tests. conditioning: for a number of
    videos, by a seed."""

    denoiser: AbleDenoiser
    conditioning: Callable[[int, int], Any]


@dataclass(frozen=True)
class Family:
    """name: in the header of embedding files, for ever. load: of a part of a model folder. tiny: a model for tests, in
    a dtype, by a process. codec: of a part of a model folder, as `load` is for the denoiser. experts: makes one
    denoiser of those for high and for low noise; None for a family without such models."""

    name: str
    load: Load
    tiny: Callable[[torch.dtype, Process], Tiny]
    codec: Callable[[Part, torch.dtype, torch.device], Codec] = picture_codec
    experts: Callable[[Any, Any], AbleDenoiser] | None = None


def family_of(class_name: str) -> Family:
    """Imports diffusers, so that this is done when a model of the family is loaded."""
    return import_module(f".{FAMILIES[class_name]}", __package__).family
