from __future__ import annotations

import pytest
import torch

from motion_lib.backbones.unet3d.denoiser import backbone_of
from motion_lib.backbones.unet3d.tiny import tiny_unet
from motion_lib.codes.design import Design
from motion_lib.codes.model import MotionCodes
from motion_lib.codes.reader import Reader
from motion_lib.codes.seen import Seen
from motion_lib.method.embedding import MotionEmbedding
from motion_lib.method.records import Origin

SMALL = {"frames": 4, "hidden": 16, "heads": 2, "depth": 1, "width": 8, "rank": 4, "described": 8}


def small_codes(seed: int = 0, zero: bool = False, **design: object) -> MotionCodes:
    """An encoder of random weights for the tiny UNet; zero: with the dictionaries that training begins with."""
    torch.manual_seed(seed)
    made = Design(**(SMALL | design))  # type: ignore[arg-type]
    empty = MotionEmbedding.zeros(backbone_of(tiny_unet()), "all", made.frames, (8, 8))
    codes = MotionCodes(made, empty.with_tensors({}, origin=Origin(model="tiny")))
    if not zero:
        with torch.no_grad():
            for p in codes.parameters():
                if p.ndim > 1 and not p.any():
                    p.normal_(std=0.1)
    return codes.eval()


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clips(count: int, frames: int = 4, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, frames, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def small_reader(**design: object) -> Reader:
    codes = small_codes(**design)
    width = codes.design.width
    return Reader(codes, Seen.of(noise(200, 4, 2, width), noise(200, 4, 2, width, seed=2)))


@pytest.fixture(scope="session")
def reader() -> Reader:
    return small_reader()
