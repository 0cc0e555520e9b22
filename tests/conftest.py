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


CORES = torch.get_num_threads()


@pytest.fixture
def all_cores():
    """For tests of a model that is large enough to profit from more than one thread."""


@pytest.fixture(autouse=True)
def _same_chance_and_threads(request: pytest.FixtureRequest):
    """A test that forgets to seed still gives the same result every time. On small models threads cost more than they
    give, and on a busy machine very much more. A test that leaves gradients switched off fails itself, instead of
    those that come after it."""
    torch.manual_seed(0)
    torch.set_num_threads(CORES if "all_cores" in request.fixturenames else 1)
    yield
    torch.set_num_threads(CORES)
    switched_off = not torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    assert not switched_off, "gradients were left switched off"
