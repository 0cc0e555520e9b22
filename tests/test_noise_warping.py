"""Noise that a camera carries: white in every frame, the same where frames see the same."""

from __future__ import annotations

import pytest
import torch

from motion_lib.camera.noise_warping import warped_noise
from motion_lib.errors import MotionError
from tests.tiny import path_of

PATHS = {
    "still": [[0, 0, 0, 0]] * 4,
    "pan": [[0.25 * i, -0.125 * i, 0, 0] for i in range(4)],
    "fractions": [[0.11 * i, 0.07 * i, 0, 0] for i in range(4)],
    "zoom in": [[0, 0, 0.2 * i, 0] for i in range(4)],
    "zoom out": [[0, 0, -0.3 * i, 0] for i in range(4)],
    "roll": [[0.1 * i, 0, 0, 0.25 * i] for i in range(4)],
}


@pytest.mark.parametrize("name", PATHS)
def test_every_frame_is_white(name: str) -> None:
    noise = warped_noise(path_of(*PATHS[name]), (400, 2, 4, 8, 10), seed=1)
    assert noise.shape == (400, 2, 4, 8, 10)
    for frame in noise.unbind(2):
        values = frame.flatten(0, 1).flatten(1)
        covariance = values.T @ values / len(values)
        assert values.mean().abs() < 0.02
        away = covariance - torch.eye(80)
        assert away.abs().max() < 0.25 and away.square().mean().sqrt() < 0.045  # 1/√800 = .035 by chance


def test_whole_pixels_are_the_same_numbers() -> None:
    noise = warped_noise(path_of(*PATHS["pan"]), (1, 3, 4, 16, 16), seed=1)
    # .25 half frames are 2 pixels of 16 to the right, -.125 are 1 up.
    torch.testing.assert_close(noise[:, :, 1, :-1, 2:], noise[:, :, 0, 1:, :-2])
    assert not torch.allclose(noise[:, :, 1], noise[:, :, 0])


def test_a_still_camera_sees_one_frame() -> None:
    noise = warped_noise(path_of(*PATHS["still"]), (2, 3, 4, 8, 8), seed=1)
    assert torch.equal(noise, noise[:, :, :1].expand_as(noise)) and not torch.equal(noise[0], noise[1])


def test_fractions_of_a_pixel_share_what_they_overlap() -> None:
    path = path_of([0, 0, 0, 0], [0.0625, 0, 0, 0])  # half a pixel of 16
    noise = warped_noise(path, (200, 4, 2, 16, 16), seed=1)
    a, b = noise[:, :, 0, :, 1:-1], noise[:, :, 1, :, 1:-1]
    assert (a * b).mean() == pytest.approx(0.5, abs=0.02)
    assert (noise[:, :, 0, :, :-1] * noise[:, :, 1, :, 1:]).mean() == pytest.approx(0.5, abs=0.02)


def test_seeds_and_kinds_of_numbers() -> None:
    path = path_of(*PATHS["roll"])
    like = torch.zeros(1, dtype=torch.bfloat16)
    a, b, other = (warped_noise(path, (1, 2, 4, 8, 8), seed, like) for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, other) and a.dtype == torch.bfloat16


def test_a_very_long_way_stays_small() -> None:
    path = path_of([0, 0, 3.0, 0], [19, 19, -3.0, 0])
    assert warped_noise(path, (1, 1, 2, 8, 8), seed=1).isfinite().all()


def test_another_number_of_frames_is_explained() -> None:
    with pytest.raises(MotionError, match="The camera path has 4 frames and the video has 5"):
        warped_noise(path_of(*PATHS["pan"]), (1, 4, 5, 8, 8), seed=1)
