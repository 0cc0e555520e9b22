"""Reading clips: every format, selection and timing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from motion_lib.video import ClipOptions, read_clip, sources
from tests.video.clips import CODECS, encode, numbered, numbers, quadrants, save_animation


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 numbered frames at 24 frames per second."""
    return encode(tmp_path_factory.mktemp("video") / "a.mp4", numbered(24))


# Formats


@pytest.mark.parametrize("name", CODECS)
def test_formats_of_ffmpeg(tmp_path: Path, name: str) -> None:
    quality = {"qmax": "2"} if name == "a.avi" else {}
    clip = read_clip(encode(tmp_path / name, numbered(12), CODECS[name], **quality))
    assert clip.frames.shape == (12, 48, 64, 3) and clip.frames.dtype == torch.uint8
    assert numbers(clip.frames) == list(range(12))
    assert (clip.fps, clip.source, clip.total_frames, clip.notes) == (pytest.approx(24), name, 12, ())


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_formats_of_pillow(tmp_path: Path, name: str) -> None:
    clip = read_clip(save_animation(tmp_path / name, numbered(12), 40))
    assert numbers(clip.frames) == list(range(12))
    assert (clip.fps, clip.total_frames, clip.notes) == (pytest.approx(25), 12, ())


@pytest.mark.parametrize(("actual", "pretended"), [("a.webp", "b.mp4"), ("a.gif", "b.webm"), ("a.mp4", "b.gif")])
def test_content_decides_not_the_extension(tmp_path: Path, video: Path, actual: str, pretended: str) -> None:
    path = tmp_path / pretended
    path.write_bytes(
        video.read_bytes() if actual == "a.mp4" else save_animation(tmp_path / actual, numbered(24), 40).read_bytes()
    )
    assert numbers(read_clip(path).frames) == list(range(24))


def test_folder_in_natural_order(tmp_path: Path) -> None:
    frames = numbered(12)
    for index, name in enumerate(["f1.png", "f2.jpg", "f3.webp", *(f"f{n}.bmp" for n in range(4, 12)), "F12.PNG"]):
        Image.fromarray(frames[index]).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a frame")
    (tmp_path / "._f1.png").write_text("what macOS leaves behind")
    clip = read_clip(tmp_path)
    assert numbers(clip.frames) == list(range(12))
    assert (clip.fps, clip.total_frames, clip.source) == (8.0, 12, tmp_path.name)
    assert clip.notes == ("a folder of images has no frame rate: 8 frames per second assumed (force_rate sets it)",)


def test_force_rate_is_the_rate_of_a_folder(tmp_path: Path) -> None:
    for index, image in enumerate(numbered(6)):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    clip = read_clip(tmp_path, ClipOptions(force_rate=24, select_every_nth=2))
    assert numbers(clip.frames) == [0, 2, 4] and clip.fps == 12


def test_folder_turns_images_as_their_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90° clockwise to view
    Image.fromarray(quadrants()).save(tmp_path / "1.png", exif=exif)
    assert np.array_equal(read_clip(tmp_path).frames[0].numpy(), np.rot90(quadrants(), -1))


def test_one_frame(tmp_path: Path) -> None:
    Image.fromarray(numbered(4)[3]).save(tmp_path / "still.png")
    for path in (tmp_path / "still.png", encode(tmp_path / "still.mp4", numbered(1))):
        clip = read_clip(path)
        assert clip.frames.shape == (1, 48, 64, 3) and clip.total_frames == 1 and clip.fps > 0


# Selection and timing


def test_options_in_their_order(video: Path) -> None:
    options = ClipOptions(force_rate=12, skip_first_frames=1, select_every_nth=2, frame_load_cap=3)
    clip = read_clip(video, options)
    assert numbers(clip.frames) == [2, 6, 10]
    assert (clip.fps, clip.total_frames, clip.notes) == (6.0, 24, ("3 of 24 frames kept",))


def test_every_second_frame_plays_at_half_the_rate(video: Path) -> None:
    clip = read_clip(video, ClipOptions(select_every_nth=2))
    assert clip.fps == pytest.approx(12) and numbers(clip.frames) == list(range(0, 24, 2))


def test_raised_rate_repeats_frames_and_says_so(video: Path) -> None:
    clip = read_clip(video, ClipOptions(force_rate=48))
    assert numbers(clip.frames) == [index for index in range(24) for _ in range(2)]
    assert clip.notes == ("frames repeated: 24 frames per second were raised to 48",)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_variable_frame_rate_by_timestamps(tmp_path: Path, name: str) -> None:
    path = encode(tmp_path / name, numbered(6), milliseconds=[0, 100, 200, 500, 600, 1000])
    clip = read_clip(path)
    assert numbers(clip.frames) == list(range(6)) and clip.fps == pytest.approx(5)
    assert clip.notes == ("variable frame rate: 100 to 400 ms between frames; force_rate makes it even",)
    even = read_clip(path, ClipOptions(force_rate=10))
    #                               0  100  200  300  400  500  600  700  800  900 1000 and 1100, as 1000 lasts 200 ms
    assert numbers(even.frames) == [0, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5] and even.fps == 10


def test_variable_delays_of_a_gif(tmp_path: Path) -> None:
    path = save_animation(tmp_path / "a.gif", numbered(4), [100, 300, 50, 150])  # at 0, 100, 400 and 450 ms
    assert numbers(read_clip(path, ClipOptions(force_rate=20)).frames) == [0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_delay_of_nothing_lasts_as_in_browsers(tmp_path: Path) -> None:
    assert read_clip(save_animation(tmp_path / "a.gif", numbered(4), 0)).fps == pytest.approx(10)


def test_decoding_stops_early_and_converts_only_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "a.webm", numbered(40), "libvpx-vp9")  # which declares no number of frames
    converted = []
    original = sources.frame_pixels
    monkeypatch.setattr(sources, "frame_pixels", lambda *args: converted.append(1) or original(*args))
    clip = read_clip(path, ClipOptions(skip_first_frames=2, select_every_nth=3, frame_load_cap=2))
    assert numbers(clip.frames) == [2, 5] and clip.total_frames == 6 and len(converted) == 2
