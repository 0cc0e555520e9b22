"""Camera motion against rendered scenes, whose camera is known."""

from __future__ import annotations

import math

import pytest
import torch

from motion_lib.camera.measure import camera_motion
from motion_lib.camera.motion import CameraMotion
from motion_lib.errors import MotionError
from motion_lib.metrics.camera import camera_error, true_camera
from motion_lib.sprites import TEXTURES, Scenes

from .clips import clips, scenes


def filmed(texture: str) -> Scenes:
    """Two scenes with pan, zoom and roll together, and an object that goes its own way."""
    truth = scenes(2, 21)
    t = torch.linspace(0, 1, 16)
    truth.texture[:] = TEXTURES.index(texture)
    truth.camera = torch.stack([torch.stack([0.8 * t, 0.4 * t**2], 1), torch.stack([-0.5 * t**2, 0.6 * t], 1)])
    truth.zoom = torch.stack([(0.3 * t).exp(), (-0.2 * t).exp()])
    truth.roll = torch.stack([0.3 * t**2, -0.4 * t])
    return truth


@pytest.mark.parametrize("texture", ["checkered", "dotted", "cloudy"])
def test_pan_zoom_and_roll_are_found(texture: str) -> None:
    truth = filmed(texture)
    for i, frames in enumerate(clips(truth)):
        found, known = camera_motion(frames), true_camera(truth, i)
        result = camera_error(found, known)
        assert result.steps >= 12
        assert result.correlation > 0.98 and result.error < 0.006, "under half a pixel of 128"
        seen = found.fitted
        assert (found.log_zoom - known.log_zoom)[seen].abs().median() < 0.004
        assert (found.roll - known.roll)[seen].abs().median() < 0.004


@pytest.mark.parametrize("texture", ["plain", "striped"])
def test_what_cannot_be_seen_is_not_invented(texture: str) -> None:
    for frames in clips(filmed(texture)):
        assert camera_motion(frames).fitted.sum() <= 2


def test_a_still_camera_has_no_correlation() -> None:
    truth = filmed("checkered")
    truth.camera[:], truth.zoom[:], truth.roll[:] = 0.0, 1.0, 0.0
    found = camera_motion(clips(truth)[0])
    result = camera_error(found, true_camera(truth, 0))
    assert found.fitted.sum() >= 12 and result.error < 0.004 and math.isnan(result.correlation)


def test_error_has_the_units_it_says() -> None:
    def pan(x: float) -> CameraMotion:
        return CameraMotion(torch.tensor([[x, 0.0]] * 4), torch.zeros(4), torch.zeros(4))

    result = camera_error(pan(0.1), pan(0.3))
    assert result.error == pytest.approx(0.2) and result.correlation == pytest.approx(1)
    assert camera_error(pan(0.1), pan(-0.1)).correlation == pytest.approx(-1)
    zoom = CameraMotion(torch.zeros(4, 2), torch.full((4,), math.log(1.1)), torch.zeros(4))
    outer = zoom.displacements()[0].abs().max()
    assert outer == pytest.approx(0.1 * 2 / 3, abs=1e-6)
    lost = CameraMotion(*(torch.full_like(v, math.nan) for v in (zoom.shift, zoom.log_zoom, zoom.roll)))
    assert camera_error(lost, zoom).steps == 0 and math.isnan(camera_error(lost, zoom).error)
    with pytest.raises(MotionError, match="5 and 4 frames"):
        camera_error(zoom, CameraMotion(zoom.shift[:3], zoom.log_zoom[:3], zoom.roll[:3]))
