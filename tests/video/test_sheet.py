"""Sheets and comparisons: every tile where it belongs, every label inside its tile."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont

from motion_lib.errors import MotionError
from motion_lib.video import contact_sheet, sheet, side_by_side
from motion_lib.video.sheet import BACKGROUND, CAPTION, GAP
from tests.video.clips import STEP, numbered

CLIP = torch.from_numpy(numbered(9, width=40, height=24))


def test_sheet_shows_evenly_chosen_frames() -> None:
    picture = np.asarray(contact_sheet([CLIP, CLIP[:2]], columns=3))
    assert picture.shape == (2 * 24 + 3 * GAP, 3 * 40 + 4 * GAP, 3)
    tile = picture[GAP : GAP + 24]
    for column, frame in enumerate((0, 4, 8)):
        left = GAP + column * (40 + GAP)
        assert (tile[:, left : left + 40] == 10 + STEP * frame).all()
    assert (picture[2 * GAP + 24 : -GAP, GAP + 40 + GAP : GAP + 40 + GAP + 40] == 10 + STEP).all()
    assert (picture[2 * GAP + 24 :, -GAP - 40 :] == BACKGROUND).all()  # the short clip has no third frame


def test_sheet_with_labels_and_scale() -> None:
    picture = np.asarray(contact_sheet([CLIP], ["source"], columns=2, scale=2))
    assert picture.shape == (CAPTION + 48 + 2 * GAP, 2 * 80 + 3 * GAP, 3)
    assert (picture[GAP : GAP + CAPTION] > 150).any()
    assert (picture[GAP + CAPTION : -GAP, GAP : GAP + 80] == 10).all()


def test_comparison_plays_every_clip_in_its_cell() -> None:
    other = CLIP[:4, :16, :20] + 100
    grid = side_by_side([CLIP, other, CLIP], ["a", "b", "c"], columns=2)
    assert grid.shape == (9, 2 * (CAPTION + 24) + 3 * GAP, 2 * 40 + 3 * GAP, 3) and grid.dtype == torch.uint8
    top, left = GAP + CAPTION, GAP
    for index in range(9):
        assert (grid[index, top : top + 24, left : left + 40] == 10 + STEP * index).all()
        # the smaller clip in the middle of its cell, holding its last frame
        cell = grid[index, top : top + 24, left + 40 + GAP : left + 80 + GAP]
        assert (cell[4:20, 10:30] == 110 + STEP * min(index, 3)).all() and (cell[:4] == torch.tensor(BACKGROUND)).all()
        below = top + 24 + GAP + CAPTION
        assert (grid[index, below : below + 24, left : left + 40] == 10 + STEP * index).all()
    assert torch.equal(grid[0, :top], grid[8, :top]) and (grid[0, GAP:top] > 150).any()


def test_comparison_without_labels_has_no_captions() -> None:
    assert side_by_side([CLIP, CLIP]).shape == (9, 24 + 2 * GAP, 80 + 3 * GAP, 3)


@pytest.mark.parametrize("label", ["a label much longer than the tile is wide", "WWWWWWWWWWWWWWWW", "Ünïcode – 動画 …"])
def test_long_label_stays_over_its_tile(label: str) -> None:
    picture = np.asarray(contact_sheet([CLIP[:1]], [label], columns=1))
    assert (picture[:, -GAP:] == BACKGROUND).all() and (picture[: GAP + CAPTION] > 150).any()


def test_labels_with_the_font_of_an_old_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    bitmap = getattr(ImageFont, "load_default_imagefont", ImageFont.load_default)
    monkeypatch.setattr(sheet, "caption_font", bitmap)
    picture = np.asarray(contact_sheet([CLIP[:1]], ["Ünïcode – 動画 …"], columns=1))
    assert (picture[: GAP + CAPTION] > 150).any()


def test_wrong_arguments() -> None:
    for draw in (contact_sheet, side_by_side):
        with pytest.raises(MotionError, match="2 labels for 1 clips"):
            draw([CLIP], ["a", "b"])
        with pytest.raises(MotionError, match="0 clips"):
            draw([])
        with pytest.raises(MotionError, match="0 columns"):
            draw([CLIP], columns=0)
        with pytest.raises(MotionError, match=r"^Clip 1 is \[9, 24, 40, 3\] torch\.float32, but"):
            draw([CLIP, CLIP.float()])


def test_sheet_is_a_picture() -> None:
    assert isinstance(contact_sheet([CLIP]), Image.Image)
