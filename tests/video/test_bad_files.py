"""Every way in which a file can be bad: one sentence, or what can be saved of it and a note."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from PIL import Image

from motion_lib.errors import MotionError
from motion_lib.video import ClipOptions, read_clip
from tests.video.clips import CODECS, encode, encode_audio, noise, numbered, save_animation


def test_too_short_says_what_is_there_and_what_is_needed(tmp_path: Path) -> None:
    video = encode(tmp_path / "a.mp4", numbered(24))
    message = "^a.mp4 has 4 frames after selection, but 16 are needed; the source has 24: use a longer clip, or change"
    with pytest.raises(MotionError, match=message):
        read_clip(video, ClipOptions(skip_first_frames=20), min_frames=16)
    with pytest.raises(MotionError, match="has 0 frames after selection, but 1 is needed"):
        read_clip(video, ClipOptions(skip_first_frames=99))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match=r"no file or folder .*nothing\.mp4"):
        read_clip(tmp_path / "nothing.mp4")


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.txt", "a.m3u8"])
def test_not_a_video(tmp_path: Path, name: str) -> None:
    text = "#EXTM3U\n#EXTINF:1\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n" if name == "a.m3u8" else "hello " * 99
    (tmp_path / name).write_text(text)
    with pytest.raises(MotionError, match=f"^{name} "):
        read_clip(tmp_path / name)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(MotionError, match=r"^a\.mp4 is not a video"):
        read_clip(tmp_path / "a.mp4")


def test_sound_only(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match=r"^a\.m4a has no video stream"):
        read_clip(encode_audio(tmp_path / "a.m4a"))


def test_unknown_codec(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", numbered(4))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"))
    with pytest.raises(MotionError, match=r"^a\.mp4 "):
        read_clip(path)


def test_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(MotionError, match="has no images"):
        read_clip(tmp_path)


def test_folder_with_mixed_sizes_names_the_odd_one(tmp_path: Path) -> None:
    for index, width in enumerate((64, 64, 32)):
        Image.new("RGB", (width, 48)).save(tmp_path / f"{index}.png")
    with pytest.raises(MotionError, match=r"2\.png is 32x48 but 0\.png is 64x48"):
        read_clip(tmp_path)


def test_folder_with_a_broken_image_names_it(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    with pytest.raises(MotionError, match=r"The image .*2\.png cannot be read"):
        read_clip(tmp_path)


def test_truncated_video_gives_its_beginning_and_a_note(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", noise(30))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    clip = read_clip(path)
    assert 5 < len(clip.frames) < 25 and clip.total_frames == len(clip.frames)
    assert len(clip.notes) == 1 and ("cut short" in clip.notes[0] or "damaged" in clip.notes[0])


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_truncated_animation(tmp_path: Path, name: str) -> None:
    path = save_animation(tmp_path / name, noise(12), 40)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    try:
        clip = read_clip(path)
    except MotionError as error:
        assert name in str(error)
    else:
        assert len(clip.frames) < 12 and clip.notes


def test_header_without_frames(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", noise(30))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 8])
    with pytest.raises(MotionError, match=r"^a\.mp4 has no frame that can be decoded"):
        read_clip(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "a.webp"])
def test_damage_never_escapes_as_another_exception(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name in CODECS:
        encode(path, noise(8), CODECS[name])
    else:
        save_animation(path, noise(8), 40)
    whole = path.read_bytes()
    chance = random.Random(0)
    for _ in range(25):
        data = bytearray(whole)
        for _ in range(20):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            assert read_clip(path).frames.shape[0] > 0
        except MotionError as error:
            assert len(str(error)) > 20
