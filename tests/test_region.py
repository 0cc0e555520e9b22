"""Masks for training from pictures."""

from __future__ import annotations

import torch

from motion_lib.training.region import region_of


def test_each_place_has_the_mean_brightness_of_its_pixels() -> None:
    picture = torch.zeros(1, 4, 8, 3, dtype=torch.uint8)
    picture[0, :, :3] = 255
    picture[0, 0, 4] = torch.tensor([255, 0, 0], dtype=torch.uint8)
    expected = torch.tensor([[[1, 0.5, 1 / 12, 0], [1, 0.5, 0, 0]]])
    torch.testing.assert_close(region_of(picture, (1, 4, 3, 2, 4)), expected)


def test_sizes_that_do_not_divide_and_several_frames() -> None:
    moving = torch.full((3, 7, 9, 3), 51, dtype=torch.uint8)
    torch.testing.assert_close(region_of(moving, (1, 4, 3, 2, 5)), torch.full((3, 2, 5), 0.2))


def test_a_latent_frame_of_several_frames_has_the_most_of_theirs() -> None:
    moving = torch.zeros(9, 4, 4, 3, dtype=torch.uint8)
    for frame, brightness in ((0, 51), (3, 102), (8, 153)):
        moving[frame] = brightness
    expected = torch.tensor([0.2, 0.4, 0.6])[:, None, None].expand(3, 2, 2)
    torch.testing.assert_close(region_of(moving, (1, 16, 3, 2, 2)), expected)
