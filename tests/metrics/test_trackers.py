"""The default tracker against motions that are known to the pixel."""

from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from motion_lib.errors import MotionError
from motion_lib.metrics.trackers import TRACKERS, Tracks, track

from .clips import clips, noise, scenes


def panned(dx: float, dy: float, frames: int = 8, size: int = 96) -> Tensor:
    """A cloudy picture moved by (dx, dy) pixels a frame."""
    rough = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    picture = F.interpolate(rough, size=(size, size), mode="bicubic", align_corners=False).clamp(0, 1)
    theta = torch.tensor([[[1.0, 0, -2 * dx * i / size], [0, 1, -2 * dy * i / size]] for i in range(frames)])
    grid = F.affine_grid(theta, [frames, 3, size, size], align_corners=False)
    moved = F.grid_sample(picture.expand(frames, -1, -1, -1), grid, padding_mode="reflection", align_corners=False)
    return (moved.permute(0, 2, 3, 1) * 255).round().byte()


@pytest.mark.parametrize("name", TRACKERS)
@pytest.mark.parametrize(("dx", "dy"), [(1.5, -0.7), (-3.0, 2.0), (0.0, 0.0)])
def test_points_move_as_the_picture(name: str, dx: float, dy: float) -> None:
    tracks = track(panned(dx, dy), name)
    assert len(tracks) > 20 and tracks.size == (96, 96)
    assert tracks.points.shape == (*tracks.visible.shape, 2) and tracks.points.dtype == torch.float32
    steps = tracks.points.diff(dim=1)[tracks.visible[:, 1:] & tracks.visible[:, :-1]]
    error = (steps - torch.tensor([dx, dy])).norm(dim=1)
    assert error.median() < 0.05 and error.quantile(0.95) < 0.3


def test_a_disc_is_followed_to_a_pixel() -> None:
    truth = scenes(1, 11)
    truth.shape[:], truth.texture[:] = 0, 0
    truth.radius[:], truth.angle[:] = 0.35, 0.0
    t = torch.linspace(0, 6.28, 16)
    truth.position[0] = 0.5 * torch.stack([t.cos(), (2 * t).sin()], dim=1)
    tracks = track(clips(truth)[0])
    steps = (64 * truth.position[0]).diff(dim=0)[None]
    error = (tracks.points.diff(dim=1) - steps).norm(dim=-1)[tracks.visible[:, 1:] & tracks.visible[:, :-1]]
    assert len(tracks) >= 5 and error.median() < 0.5, "steps are about 15 pixels long"


def test_noise_cannot_be_followed_and_a_plain_clip_has_no_points() -> None:
    assert track(noise(0)).visible.float().sum() < 200
    assert len(track(torch.full((4, 64, 64, 3), 90, dtype=torch.uint8))) == 0


def test_ones_own_tracker() -> None:
    def one_point(frames: Tensor) -> Tracks:
        return Tracks(torch.zeros(1, len(frames), 2), torch.ones(1, len(frames), dtype=torch.bool), (4, 4))

    assert len(track(noise(0), one_point)) == 1


def test_without_opencv_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MotionError, match="pip install opencv-python-headless"):
        track(noise(0))


def test_measures_can_be_imported_without_opencv() -> None:
    import subprocess

    names = ("camera", "captions", "consistency", "fidelity", "leak", "paths", "trackers")
    code = "import sys; sys.modules['cv2'] = None\n" + "\n".join(f"import motion_lib.metrics.{n}" for n in names)
    subprocess.run([sys.executable, "-c", code], check=True)
