"""A small random-weight model, and a rendered case of its size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from motion_lib.backbones import VideoModel, load_model
from motion_lib.benchmark.cases import Case, rendered_case
from motion_lib.benchmark.methods import OBJECT, Reference, Request, one_pass
from motion_lib.bundled.models import BUNDLED, SamplingDefaults
from motion_lib.codes.design import Design
from motion_lib.codes.model import MotionCodes
from motion_lib.codes.reader import Reader
from motion_lib.codes.seen import Seen
from motion_lib.method.records import Origin
from tests.backbones.folders import FEW_LEVELS, build


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> str:
    return str(build(tmp_path_factory.mktemp("models") / "tiny", FEW_LEVELS))


@pytest.fixture(scope="session")
def model(folder: str) -> VideoModel:
    return load_model(folder)


@pytest.fixture(scope="session")
def case() -> Case:
    return rendered_case("figure_eight", prompts=2, frames=4, size=32)


@pytest.fixture(scope="session")
def reference(model: VideoModel, case: Case) -> Reference:
    latents = model.encode_video(case.frames)
    return Reference(case, latents, torch.randn(latents.shape, generator=torch.Generator().manual_seed(1)))


@pytest.fixture(scope="session")
def request_(reference: Reference) -> Request:
    fresh = torch.randn(2, *reference.latents.shape[1:], generator=torch.Generator().manual_seed(2))
    return Request(reference.case.prompts, (5, 6), fresh, steps=3, guidance=2.0)


@pytest.fixture
def small(folder: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options for the small model, whose clips are small as well."""
    size = SamplingDefaults(steps=2, guidance=2.0, frames=4, width=32, height=32)
    monkeypatch.setitem(BUNDLED, "tiny", (Path(folder), size))
    return ["--model", "tiny", "--device", "cpu", "--sampling-steps", "2"]


@pytest.fixture
def encoder(model: VideoModel, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """One of random weights, as if it came with the model."""
    torch.manual_seed(0)
    _, _, frames, height, width = model.latent_shape(4, 32, 32)
    empty = OBJECT.empty(model.denoiser.backbone, frames, (height, width))
    design = Design(frames=4, hidden=16, heads=2, depth=1, width=8, rank=4, described=8)
    codes = MotionCodes(design, empty.with_tensors({}, origin=Origin(model="tiny")))
    for p in codes.parameters():
        torch.nn.init.normal_(p, std=0.05)
    known = torch.randn(64, 4, 2, 8, generator=torch.Generator().manual_seed(1))
    reader = Reader(codes.requires_grad_(False).eval(), Seen.of(known, known))
    monkeypatch.setattr(one_pass, "bundled_reader", lambda *given: reader)
    return reader
