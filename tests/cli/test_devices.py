"""--device, where a GPU is stood in for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from motion_lib.cli.common import pick_device
from motion_lib.errors import MotionError


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Two GPUs, as far as picking one sees them; which of them was made the current one."""
    zeros, made_current = torch.zeros, []

    def zeros_anywhere(*size: int, device: Any) -> torch.Tensor:
        if (torch.device(device).index or 0) > 1:
            raise RuntimeError("CUDA error: invalid device ordinal")
        return zeros(*size)

    def set_device(device: torch.device) -> None:
        if device.index is None:
            raise ValueError(f"Expected a torch.device with a specified index or an integer, but got:{device}")
        made_current.append(device.index)

    monkeypatch.setattr(torch, "zeros", zeros_anywhere)
    monkeypatch.setattr(torch.cuda, "set_device", set_device)
    return made_current


def test_a_gpu_goes_by_its_kind_or_by_its_number(gpus: list[int]) -> None:
    assert pick_device("cuda") == torch.device("cuda") and gpus == []
    assert pick_device("cuda:1") == torch.device("cuda:1") and gpus == [1]


def test_a_gpu_that_is_not_there_is_named(gpus: list[int]) -> None:
    with pytest.raises(MotionError, match=r"--device cuda:7 cannot be used here .*invalid device ordinal"):
        pick_device("cuda:7")
    assert gpus == []
