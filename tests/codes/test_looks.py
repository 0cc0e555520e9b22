"""Clips in looks that the encoder does not know, and the looks in which they are read instead."""

from __future__ import annotations

import pytest
import torch

from motion_lib.benchmark.cases import foreign_case, rendered_case
from motion_lib.codes import looks
from motion_lib.codes.from_clip import embedding_of, reader_of
from motion_lib.codes.looks import read_clip, redrawn_by_own_model
from motion_lib.codes.reader import Reader, evenly, looks_along
from motion_lib.errors import MotionError
from motion_lib.metrics.paths import path_correlation
from motion_lib.video.look import in_pieces

from .conftest import small_reader
from .test_reader import clip


@pytest.fixture(scope="module")
def bundled() -> Reader:
    return reader_of(None)


def test_a_known_look_is_read_as_it_is(bundled: Reader) -> None:
    frames = rendered_case("zigzag", 1).frames
    reading = read_clip(bundled, frames)
    assert reading.look == "as_it_is" and torch.equal(reading.codes, bundled.read(frames).codes)


@pytest.mark.parametrize("motion", ["spiral", "orbit", "bounce"])
def test_an_unknown_one_is_read_before_grey(bundled: Reader, motion: str) -> None:
    """Two looks each, of which the encoder reads at least one wrongly as it is."""
    correlations = []
    for look in (0, 3):
        case = foreign_case(motion, 1, look=look)
        assert case.truth is not None
        reading = read_clip(bundled, case.frames)
        assert reading.warning is None and reading.look != "as_it_is"
        assert path_correlation(reading.path, case.truth.position[0]) > 0.95
        plain = read_clip(bundled, case.frames, "as_it_is")
        assert plain.warning is not None
        correlations.append(path_correlation(plain.path, case.truth.position[0]))
    assert min(correlations) < 0.95


def test_a_moving_camera_is_not_taken_away(bundled: Reader) -> None:
    for motion in ("pan", "tilt", "zoom", "shake"):
        for look in range(4):
            case = foreign_case(motion, 1, look=look)
            assert read_clip(bundled, case.frames).look == "as_it_is", (motion, look)


def test_under_a_moving_camera_the_model_draws_it_again(bundled: Reader) -> None:
    """Also of a clip of another size and length; where the background's pattern is lost, that is said."""
    redraw = redrawn_by_own_model(bundled)
    for look, frames, size in ((4, 16, 128), (5, 20, 144)):
        case = foreign_case("eight_and_pan", 1, frames, size, look)
        assert case.truth is not None
        reading = read_clip(bundled, case.frames, redraw=redraw)
        truth = evenly(case.truth.position[0], 16)
        assert (reading.look, reading.warning, reading.camera_moves) == ("redrawn", None, True)
        assert path_correlation(reading.path, truth) > 0.95


def test_a_camera_is_measured_where_the_pattern_is_lost(bundled: Reader, monkeypatch) -> None:
    """And where nothing can be followed either, that is said."""
    case, redraw = foreign_case("eight_and_pan", 1, look=6), redrawn_by_own_model(bundled)
    assert case.truth is not None
    reading = read_clip(bundled, case.frames, redraw=redraw)
    assert (reading.look, reading.camera_measured, reading.warning) == ("redrawn", True, None)
    true = case.truth.camera[0] - case.truth.camera[0, :1]
    assert float((reading.looks[:, :2] - true).norm() / true.norm()) < 0.05
    torch.testing.assert_close(looks_along(reading.camera), reading.looks, atol=1e-4, rtol=0)

    def refuse(frames):
        raise MotionError("nothing to follow")

    monkeypatch.setattr(looks, "follow_camera", refuse)
    lost = read_clip(bundled, case.frames, redraw=redraw)
    assert lost.familiar and lost.camera_lost and "only the object's motion was read" in str(lost.warning)


def test_a_known_look_needs_no_measuring(bundled: Reader, monkeypatch) -> None:
    monkeypatch.setattr(looks, "follow_camera", None)
    reading = read_clip(bundled, rendered_case("eight_and_pan", 1).frames)
    assert reading.look == "as_it_is" and reading.camera_moves and not reading.camera_measured


def test_what_rests_for_half_of_the_clip_is_not_read_before_grey(bundled: Reader) -> None:
    redraw = redrawn_by_own_model(bundled)
    resting, before_grey = [], []
    for look in (4, 5):
        case = foreign_case("stop_and_go", 1, look=look)
        assert case.truth is not None
        resting.append(in_pieces(case.frames))  # older versions of PyTorch draw clips of which that is not seen
        grey, reading = read_clip(bundled, case.frames), read_clip(bundled, case.frames, redraw=redraw)
        found = [path_correlation(each.path, case.truth.position[0]) for each in (grey, reading)]
        assert found[1] > 0.95 and (reading.look == "redrawn" or not resting[-1])
        before_grey.append(found[0])
    assert any(resting) and min(before_grey) < 0.5


def test_a_still_camera_is_not_lost(bundled: Reader) -> None:
    frames = foreign_case("bounce", 1, look=6).frames
    reading = read_clip(bundled, frames, "redrawn", redraw=redrawn_by_own_model(bundled))
    assert reading.look == "redrawn" and not reading.camera_lost and not reading.camera_moves


def test_an_encoder_for_a_model_of_somebody_else_has_none_to_draw_with() -> None:
    reader = small_reader()
    assert redrawn_by_own_model(reader) is None
    with pytest.raises(MotionError, match="look is 'redrawn', but it must be one of as_it_is"):
        read_clip(reader, clip(), "redrawn")


def test_the_file_says_it_all_the_same(bundled: Reader) -> None:
    case = foreign_case("spiral", 1)
    embedding, reading = embedding_of(bundled, case.frames, "clip")
    assert embedding.origin.reading and reading.look != "as_it_is"
    same, _ = embedding_of(bundled, case.frames, "clip", look=reading.look)
    assert all(torch.equal(same.tensors[key], m) for key, m in embedding.tensors.items())


def test_looks_that_cannot_be() -> None:
    reader = small_reader()
    with pytest.raises(MotionError, match="look is 'dark', but it must be one of auto, as_it_is"):
        read_clip(reader, clip(), "dark")
    with pytest.raises(MotionError, match="reads the latents of tiny"):
        read_clip(small_reader(inputs="latents"), clip(), "flat_object")
    with pytest.raises(MotionError):  # nothing stands still
        read_clip(reader, clip(), "neutral_background")
