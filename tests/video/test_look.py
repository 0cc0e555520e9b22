"""What moves, before plain grey."""

from __future__ import annotations

import pytest
import torch

from motion_lib.errors import MotionError
from motion_lib.video.look import camera_moves, in_look, in_pieces, moving_mask

FRAMES, SIDE = 9, 64


def places() -> torch.Tensor:
    """Where a disc is that crosses the picture, `[f, h, w]` bool."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    across = torch.linspace(10, SIDE - 10, FRAMES)[:, None, None]
    return (x - across) ** 2 + (y - SIDE / 2) ** 2 < 8**2


def clip(noise: float = 3.0) -> torch.Tensor:
    """The disc, blue with a hole of the background's colours, before saturated stripes, with the grain of a camera."""
    stripes = (torch.arange(SIDE) // 4 % 2 == 0)[:, None, None] * torch.tensor([200.0, 60.0, 0.0]) + 40.0
    frames = stripes.expand(SIDE, SIDE, 3).repeat(FRAMES, 1, 1, 1)
    frames[places()] = torch.tensor([20.0, 40.0, 220.0])
    grain = noise * torch.randn(frames.shape, generator=torch.Generator().manual_seed(0))
    return (frames + grain).clamp(0, 255).round().to(torch.uint8)


def test_what_moves_is_found() -> None:
    found, there = moving_mask(clip()) > 0.5, places()
    assert (found & there).sum() / (found | there).sum() > 0.8


def test_the_background_becomes_plain_and_the_object_stays() -> None:
    made, there = in_look(clip(), "neutral_background").float(), places()
    outside = made[~places_widened()]
    assert outside.std() < 2 and abs(outside.mean() - 128) < 1
    assert (made[there] - clip().float()[there]).abs().mean() < 8


def places_widened() -> torch.Tensor:
    return torch.nn.functional.max_pool2d(places().float()[:, None], 9, stride=1, padding=4)[:, 0] > 0


def test_a_flat_object_has_one_colour() -> None:
    made = in_look(clip(), "flat_object").float()[places()]
    assert (made - torch.tensor([200.0, 40.0, 40.0])).abs().mean() < 8


def test_a_given_mask_says_what_moves() -> None:
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, :10] = 1
    made = in_look(clip(), "neutral_background", mask)
    assert torch.equal(made[:, :10], clip()[:, :10])
    assert (made[:, 10:] == 128).all()
    each = in_look(clip(), "neutral_background", mask.repeat(FRAMES, 1, 1))
    assert torch.equal(made, each)


def test_as_it_is_changes_nothing() -> None:
    frames = clip()
    assert in_look(frames, "as_it_is") is frames


def test_a_thing_that_rests_leaves_a_hole_where_it_was() -> None:
    """In the median frame, which shows it, so that it and its hole move apart; one that goes on does not."""
    assert not in_pieces(clip())
    resting = clip()[[0] * 7 + list(range(2, FRAMES))]
    assert in_pieces(resting)
    still = clip(noise=0.0)[:1].repeat(FRAMES, 1, 1, 1)
    assert not in_pieces(still) and not in_pieces(pan())


def pan() -> torch.Tensor:
    """Noise under a camera that moves."""
    wide = torch.rand(SIDE, SIDE + 4 * FRAMES, 3, generator=torch.Generator().manual_seed(1)) * 255
    return torch.stack([wide[:, 4 * i : 4 * i + SIDE] for i in range(FRAMES)]).to(torch.uint8)


@pytest.mark.parametrize(
    ("frames", "look", "mask", "words"),
    [
        (clip(), "sepia", None, "look is 'sepia'"),
        (clip(), "flat_object", torch.ones(2, SIDE, SIDE), "one for every frame"),
        (clip(), "flat_object", torch.ones(1, 8, 8), "of the clip's size"),
        (pan(), "flat_object", None, "as if the camera moved"),
        (clip(noise=0.0)[:1].repeat(FRAMES, 1, 1, 1), "flat_object", None, "Nothing in the clip moves"),
    ],
)
def test_what_cannot_be_done_is_said(frames, look, mask, words) -> None:
    with pytest.raises(MotionError, match=words):
        in_look(frames, look, mask)


def test_a_moving_camera_changes_most_of_the_picture() -> None:
    assert camera_moves(pan()) and not camera_moves(clip())
