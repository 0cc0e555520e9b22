"""A small random-weight model, and a rendered case of its size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from motion_lib.backbones import VideoModel, load_model
from motion_lib.benchmark.cases import Case, rendered_case
from motion_lib.benchmark.methods import Reference, Request
from motion_lib.bundled.models import BUNDLED, SamplingDefaults
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
