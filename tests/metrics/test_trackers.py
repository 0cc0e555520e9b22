"""The default tracker against motions that are known to the pixel."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from motion_lib.camera.trackers import TRACKERS, track
from motion_lib.camera.tracks import Tracks
from motion_lib.errors import MotionError

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

    names = ("camera", "candidates", "captions", "consistency", "fidelity", "leak", "paths")
    modules = (*(f"metrics.{name}" for name in names), "camera.measure", "camera.trackers")
    code = "import sys; sys.modules['cv2'] = None\n" + "\n".join(f"import motion_lib.{module}" for module in modules)
    subprocess.run([sys.executable, "-c", code], check=True)


def test_cotracker_is_asked_as_it_expects(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The adapter only: a stand-in with CoTracker's interface follows a bright column."""
    weights = tmp_path / "weights.pth"
    torch.save({}, weights)

    class Predictor(torch.nn.Module):
        def __init__(self, checkpoint: str):
            super().__init__()
            assert checkpoint == str(weights)

        def forward(self, video: Tensor, grid_size: int, grid_query_frame: int, backward_tracking: bool):
            assert video.shape == (1, 4, 3, 16, 24) and video.dtype == torch.float32 and video.max() == 255
            assert grid_query_frame == 2 and backward_tracking
            x = video[0, :, 0, 0].argmax(dim=-1).float()
            points = torch.stack([x, torch.zeros_like(x)], dim=-1)[:, None].expand(-1, grid_size**2, -1)
            return points[None], torch.ones(1, 4, grid_size**2, 1)

    package, module = types.ModuleType("cotracker"), types.ModuleType("cotracker.predictor")
    vars(module)["CoTrackerPredictor"] = Predictor
    monkeypatch.setitem(sys.modules, "cotracker", package)
    monkeypatch.setitem(sys.modules, "cotracker.predictor", module)
    frames = torch.zeros(4, 16, 24, 3, dtype=torch.uint8)
    for i in range(4):
        frames[i, :, 3 * i] = 255
    tracks = track(frames, f"cotracker:{weights}")
    assert tracks.size == (16, 24) and tracks.visible.all() and tracks.visible.dtype == torch.bool
    assert tracks.points[7].tolist() == [[0, 0], [3, 0], [6, 0], [9, 0]]
    with pytest.raises(MotionError, match="There is no file nowhere"):
        track(frames, "cotracker:nowhere")


def test_without_cotracker_one_sentence_says_so() -> None:
    with pytest.raises(MotionError, match="CoTracker is not installed"):
        track(noise(0), "cotracker:weights.pth")
