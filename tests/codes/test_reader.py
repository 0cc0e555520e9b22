"""Reading a clip: what comes out of one pass, when it warns, and its camera."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from motion_lib.codes.reader import Reader, camera_path
from motion_lib.codes.seen import Seen
from motion_lib.errors import MotionError
from motion_lib.files.embedding_file import load_embedding, save_embedding
from motion_lib.metrics.camera import camera_error, true_camera
from motion_lib.sprites import Words
from motion_lib.sprites.motions import reference

from .conftest import noise, small_reader


def clip(frames: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, (frames, 24, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_a_clip_becomes_an_embedding_that_files_hold(reader: Reader, tmp_path) -> None:
    reading = reader.read(clip())
    embedding = reader.embedding(reading.codes)
    assert embedding.advice.noise_weight == 0.1 and embedding.origin.model == "tiny"
    save_embedding(tmp_path / "m.safetensors", embedding)
    again = load_embedding(tmp_path / "m.safetensors")
    assert again.advice == embedding.advice and again.grids == embedding.grids
    assert reading.path.shape == (4, 2) and reading.scale.shape == reading.angle.shape == (4,)
    assert len(reading.camera) == 4


def test_a_longer_clip_is_read_at_frames_spread_over_it(reader: Reader) -> None:
    long = clip(10)
    torch.testing.assert_close(reader.read(long).codes, reader.read(long[[0, 3, 6, 9]]).codes)


def test_a_clip_of_one_frame_has_no_motion(reader: Reader) -> None:
    with pytest.raises(MotionError, match="1 frame, but"):
        reader.read(clip(1))


def test_latents_are_asked_for_where_they_are_read() -> None:
    own = small_reader(inputs="latents")
    with pytest.raises(MotionError, match="latents of tiny"):
        own.read(clip())
    assert own.read(clip(), noise(1, 4, 4, 16, 16)).codes.shape == (4, 2, 8)


def test_crossing_takes_the_object_of_one_and_the_camera_of_the_other(reader: Reader) -> None:
    a, b = reader.read(clip(seed=1)), reader.read(clip(seed=2))
    crossed = a.crossed(b)
    assert torch.equal(crossed[:, 0], a.codes[:, 0]) and torch.equal(crossed[:, 1], b.codes[:, 1])


def test_a_clip_far_from_training_is_warned_of_with_its_distance(reader: Reader) -> None:
    near = replace(reader.read(clip()), distance=1.0, most=1.5)
    assert near.warning is None
    far = replace(near, distance=4.26)
    assert far.warning is not None and "4.3" in far.warning and "1.5" in far.warning


def test_distance_is_about_one_for_the_same_kind_and_grows_with_the_difference() -> None:
    known, unseen = noise(400, 4, 2, 8), noise(400, 4, 2, 8, seed=3)
    seen = Seen.of(known, unseen)
    near, far = seen.distance(unseen), seen.distance(unseen + 3)
    assert 0.8 < float(near.mean()) < 1.2 and float((near <= seen.most).float().mean()) == pytest.approx(
        0.99, abs=0.005
    )
    assert float(far.min()) > seen.most


def test_a_camera_that_hardly_moves_stands_still(reader: Reader) -> None:
    looks = torch.zeros(4, 4)
    looks[:, 0] = torch.linspace(0, 0.05, 4)
    reading = replace(reader.read(clip()), looks=looks)
    assert not reading.camera_moves and not reading.camera.shift.any()
    reading = replace(reading, looks=10 * looks)
    assert reading.camera_moves and float(reading.camera.shift[-1, 0]) == pytest.approx(-0.5)


@pytest.mark.parametrize("motion", ["pan", "tilt", "zoom", "shake", "roll_over"])
def test_a_camera_that_is_read_right_is_the_camera(motion: str) -> None:
    scenes = reference(motion, Words())
    values = torch.cat([scenes.camera[0], scenes.zoom[0].log()[:, None], scenes.roll[0][:, None]], dim=1)
    path, truth = camera_path(values), true_camera(scenes, 0)
    # What the background does from frame to frame, added up along the path.
    centre = path.to_world(torch.tensor([[0.3, -0.2], [0.0, 0.0]]))
    assert torch.allclose(path.log_zoom.diff(), truth.log_zoom, atol=1e-5)
    assert torch.allclose(path.roll.diff(), truth.roll, atol=1e-5)
    assert camera_error(truth, truth).error == 0 and centre.isfinite().all()
    seen = scenes.camera[0] - scenes.camera[0, :1]
    world = path.to_world(torch.zeros(1, 2))[:, 0]
    assert torch.allclose(world, seen, atol=1e-4)
