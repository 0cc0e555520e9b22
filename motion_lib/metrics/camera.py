"""Comparing cameras: those of two clips, or of a clip and the rendered scene that it shows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..camera.measure import TOLERANCE
from ..camera.motion import CameraMotion
from ..errors import MotionError
from ..sprites import Scenes


@dataclass(frozen=True)
class CameraError:
    """error: root mean square difference of the displacements of nine points, in half frames per step.
    correlation: of the displacements, 1 for the same camera, -1 for the opposite one, NaN if one of the two stands
    still. steps: how many could be compared; with none both values are NaN."""

    error: float
    correlation: float
    steps: int


def true_camera(scenes: Scenes, i: int) -> CameraMotion:
    """What the camera of the i-th rendered scene does."""
    zoom, roll, camera = scenes.zoom[i], scenes.roll[i], scenes.camera[i]
    moved = zoom[1:, None] * (camera[:-1] - camera[1:])
    c, s = roll[1:].cos(), roll[1:].sin()
    shift = torch.stack([c * moved[:, 0] - s * moved[:, 1], s * moved[:, 0] + c * moved[:, 1]], dim=-1)
    return CameraMotion(shift, zoom.log().diff(), roll.diff())


def camera_error(a: CameraMotion, b: CameraMotion) -> CameraError:
    """Compare the cameras of two clips, or of a clip and its truth; raises MotionError for unequal lengths."""
    if len(a.log_zoom) != len(b.log_zoom):
        raise MotionError(
            f"The cameras move over {len(a.log_zoom) + 1} and {len(b.log_zoom) + 1} frames: compare equal lengths."
        )
    common = a.fitted & b.fitted
    first, second = a.displacements()[common].double(), b.displacements()[common].double()
    if not len(first):
        return CameraError(math.nan, math.nan, 0)
    error = float((first - second).square().sum(dim=-1).mean().sqrt())
    lengths = [float(d.square().sum(dim=-1).mean().sqrt()) for d in (first, second)]
    moving = min(lengths) > TOLERANCE / 4
    product = float((first * second).sum(dim=-1).mean())
    return CameraError(error, product / (lengths[0] * lengths[1]) if moving else math.nan, len(first))
