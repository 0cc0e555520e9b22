"""CameraPath against rendered cameras, and its algebra."""

from __future__ import annotations

import math

import pytest
import torch

from motion_lib.camera.measure import follow_camera
from motion_lib.camera.path import CameraPath, pixel_centres
from motion_lib.errors import MotionError
from motion_lib.metrics.camera import true_camera
from motion_lib.sprites import Words, render
from motion_lib.sprites.motions import reference
from tests.tiny import path_of


def rendered(motion: str, texture: str = "checkered", size: int = 128):
    scenes = reference(motion, Words("ring", "yellow", "navy", texture), seed=3)
    return scenes, (render(scenes, size)[0] * 255).round().byte().permute(0, 2, 3, 1).contiguous()


@pytest.mark.parametrize("motion", ["pan", "tilt", "zoom", "shake", "roll_over", "slow_diagonal_pan"])
def test_the_true_steps_make_the_true_path(motion: str) -> None:
    """Where the renderer puts points of the world is where the path says they are, in every frame."""
    scenes, _ = rendered(motion)
    steps = true_camera(scenes, 0)
    path = CameraPath.of_steps(steps.shift, steps.log_zoom, steps.roll)
    world = torch.tensor([[0.0, 0.0], [0.7, -0.2], [-0.5, 0.9]])
    zoom, roll, camera = scenes.zoom[0], scenes.roll[0], scenes.camera[0]
    x, y = (world - camera[:, None]).unbind(-1)
    c, s = roll.cos()[:, None], roll.sin()[:, None]
    expected = zoom[:, None, None] * torch.stack([c * x - s * y, s * x + c * y], dim=-1)
    torch.testing.assert_close(path.to_frames(world), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("texture", ["checkered", "dotted", "cloudy"])
@pytest.mark.parametrize("motion", ["pan", "tilt", "zoom", "shake", "zoom_out", "roll_over"])
def test_the_measured_path_is_the_true_one(motion: str, texture: str) -> None:
    """Tracks alone are off by up to .10, and shaking by .02 when pictures are read by OpenCV's cubic interpolation."""
    assert error(*rendered(motion, texture)) < 0.012


@pytest.mark.parametrize("texture", ["checkered", "cloudy"])
def test_large_pictures_are_followed_exactly_without_more_work(texture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracker's windows grow with the picture: at 350 pixels they would take eight times as long as at 128."""
    cv2 = pytest.importorskip("cv2")
    track, sizes = cv2.calcOpticalFlowPyrLK, set()

    def tracked(first, *arguments, **options):
        sizes.add((first.shape[:2], options["winSize"]))
        return track(first, *arguments, **options)

    monkeypatch.setattr(cv2, "calcOpticalFlowPyrLK", tracked)
    assert error(*rendered("zoom", texture, size=350)) < 0.02
    assert sizes == {((128, 128), (27, 27))}


def error(scenes, frames) -> float:
    """Of the followed camera: the largest distance of a corner from where it is, as a share of the largest way."""
    found, steps = follow_camera(frames), true_camera(scenes, 0)
    truth = CameraPath.of_steps(steps.shift, steps.log_zoom, steps.roll)
    corners = torch.tensor([[-0.67, -0.67], [0.67, -0.67], [0.67, 0.67], [-0.67, 0.67]])
    extent = (truth.to_frames(corners) - corners).norm(dim=-1).max()
    return float((found.to_frames(corners) - truth.to_frames(corners)).norm(dim=-1).max() / extent)


def test_to_world_and_back() -> None:
    path = path_of([0, 0, 0, 0], [0.4, -0.2, 0.3, 0.5], [-1, 0.6, -0.4, -1.2])
    points = pixel_centres((6, 9))
    there = path.to_world(points)
    for i in range(3):
        torch.testing.assert_close(path.to_frames(there[i], slice(i, i + 1))[0], points, atol=1e-5, rtol=0)


def test_amounts() -> None:
    path = path_of([0, 0, 0, 0], [0.4, -0.2, 0.3, 0.5])
    for name in ("shift", "log_zoom", "roll"):
        torch.testing.assert_close(getattr(path.scaled(1.0), name), getattr(path, name), atol=1e-6, rtol=0)
    assert torch.tensor(path.scaled(0.0).rows()).abs().max() < 1e-6
    pan = path_of([0, 0, 0, 0], [0.4, -0.2, 0, 0])
    assert pan.scaled(-2.0).rows()[1] == pytest.approx([-0.8, 0.4, 0, 0])


def test_other_numbers_of_frames() -> None:
    path = path_of(*([0.1 * i, -0.2 * i, 0.05 * i, 0] for i in range(5)))
    assert path.resample(5) is path and len(path.resample(9)) == 9
    assert path.resample(9).rows()[8] == pytest.approx(path.rows()[4], abs=1e-4)
    assert path.resample(9).rows()[1] == pytest.approx([0.05, -0.1, 0.025, 0], abs=1e-4)


def test_steps_that_were_not_seen_lie_between_their_neighbours() -> None:
    gap = torch.tensor([0.1, math.nan, 0.3, math.nan])
    path = CameraPath.of_steps(torch.stack([gap, 0 * gap], dim=1), torch.zeros(4), torch.zeros(4))
    assert path.shift[:, 0].tolist() == pytest.approx([0, 0.1, 0.3, 0.6, 0.9])


def test_too_few_steps_are_explained() -> None:
    steps = torch.full((9,), math.nan)
    steps[0] = 0.1
    with pytest.raises(MotionError, match="could be followed in 1 of the clip's 9 steps"):
        CameraPath.of_steps(torch.stack([steps, steps], dim=1), steps, steps)
    frames = torch.full((4, 32, 32, 3), 90, dtype=torch.uint8)
    with pytest.raises(MotionError, match="a background with a texture"):
        follow_camera(frames)


def test_rows_and_words() -> None:
    path = path_of([0, 0, 0, 0], [0.5, -0.25, 0.1, 0.2])
    assert path_of(*path.rows()).rows() == path.rows()
    assert path.describe() == (
        "Over 2 frames the background moves by +0.25 of the picture's shorter side to the right and -0.12 down, "
        "grows to 1.11 times its size and turns by +11° clockwise."
    )
