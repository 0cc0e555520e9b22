"""What all tests share."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings

settings.register_profile("motion", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("motion")


@pytest.fixture(scope="session")
def sprite():
    """The bundled model."""
    from motion_lib.backbones import load_model

    return load_model("sprite_t2v")


@pytest.fixture(autouse=True)
def _same_chance():
    """A test that forgets to seed still gives the same result every time."""
    torch.manual_seed(0)
