"""Spread of appearance: 0 for equal looks, blind to a common path, larger for more different ones."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from motion_lib.errors import MotionError
from motion_lib.metrics.diversity import appearance_spread, pixels, sprite_look
from motion_lib.sprites import Scenes

from .clips import clips, noise, scenes


def plain_pair() -> Scenes:
    """Two equal scenes on a plain background, of which the second takes another path."""
    one = scenes(1, 81)
    one.texture[:] = 0
    one.camera[:], one.zoom[:], one.roll[:] = 0, 1, 0
    two = Scenes(**{name: torch.cat([value, value]) for name, value in vars(one).items()})
    t = torch.linspace(-0.5, 0.5, 16)
    two.position[0] = torch.stack([t, 0.3 * t], dim=1)
    two.position[1] = torch.stack([-0.3 * t, t], dim=1)
    return two


def test_formula() -> None:
    a, b, c = (torch.full((2, 4, 4, 3), value, dtype=torch.uint8) for value in (0, 51, 255))
    assert appearance_spread([a, b]) == pytest.approx(0.2)
    assert appearance_spread([a, b, c]) == pytest.approx((0.2 + 1.0 + 0.8) / 3)
    assert appearance_spread([a, a, a]) == 0 and math.isnan(appearance_spread([a]))


def test_another_path_is_no_other_look() -> None:
    pair = clips(plain_pair())
    assert appearance_spread(pair, pixels) > 0.1
    assert appearance_spread(pair, sprite_look) < 0.03


def test_another_texture_colour_or_turn_is() -> None:
    truth = plain_pair()
    small = appearance_spread(clips(truth), sprite_look)
    other = [torch.tensor([a, b]) for a, b in ((0, 2), (0, 3))]
    textures = replace(truth, texture=other[0])
    tones = replace(truth, tone=other[1])
    turned = replace(truth, shape=torch.tensor([7, 7]), angle=torch.stack([torch.zeros(16), torch.full((16,), 2.0)]))
    for scene in (textures, tones, turned):
        assert appearance_spread(clips(scene), sprite_look) > 2 * small


def test_unseen_objects_do_not_break_it() -> None:
    grey = torch.full((16, 128, 128, 3), 128, dtype=torch.uint8)
    assert appearance_spread([grey, clips(scenes(1, 3))[0]], sprite_look) > 0.05


def test_bad_clips_are_refused() -> None:
    with pytest.raises(MotionError, match="need uint8"):
        appearance_spread([noise(0), noise(1).float()])
