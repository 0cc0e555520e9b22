"""Masks from pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from motion_lib.errors import MotionError
from motion_lib.video.masks import read_mask


def test_brightness_of_any_picture(tmp_path: Path) -> None:
    picture = Image.new("RGB", (3, 2), (255, 255, 255))
    picture.putpixel((0, 1), (0, 0, 0))
    picture.putpixel((2, 0), (51, 51, 51))
    picture.save(tmp_path / "mask.png")
    expected = torch.tensor([[1, 1, 0.2], [0, 1, 1]])
    torch.testing.assert_close(read_mask(tmp_path / "mask.png"), expected)


def test_what_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_text("hello")
    for path in (tmp_path / "mask.png", tmp_path / "missing.png", tmp_path):
        with pytest.raises(MotionError, match=rf"{path.name} cannot be read"):
            read_mask(path)
