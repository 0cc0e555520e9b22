"""Files of somebody with bad intentions: what names other files, never ends, or is far larger than it looks."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from PIL import EpsImagePlugin, Image

from motion_lib.errors import MotionError
from motion_lib.video import ClipOptions, read_clip, write_video
from motion_lib.video.limits import FASTEST, LARGEST_FRAME, Limit
from motion_lib.video.masks import read_mask
from motion_lib.video.sources import open_source
from tests.video.clips import encode, noise, numbered, save_animation

EPS = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list.ts"])
@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n",  # live: would be asked for more for ever
        "ffconcat version 1.0\nfile '{}'\n",
    ],
)
def test_playlists_open_no_other_file(tmp_path: Path, name: str, text: str) -> None:
    encode(tmp_path / "other.ts", numbered(8))
    (tmp_path / name).write_text(text.format("other.ts"))
    with pytest.raises(MotionError, match=f"^{name} is not a video"):
        read_clip(tmp_path / name)


def test_a_name_that_is_a_pattern_means_one_file(tmp_path: Path) -> None:
    for index in range(3):
        Image.new("RGB", (64, 48)).save(tmp_path / f"{index}.jpg")
    with pytest.raises(MotionError, match="no file or folder"):
        read_clip(tmp_path / "%d.jpg")


@pytest.mark.parametrize("kind", ["EPS", "PPM", "TIFF"])
def test_only_pictures_of_the_known_kinds_are_opened(tmp_path: Path, monkeypatch, kind: str) -> None:
    def ghostscript(*arguments, **options):
        pytest.fail("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", ghostscript)
    if kind == "EPS":
        (tmp_path / "1.png").write_text(EPS)
    else:
        Image.new("RGB", (64, 48)).save(tmp_path / "1.png", kind)
    with pytest.raises(MotionError, match=r"1\.png cannot be read"):
        read_clip(tmp_path)
    with pytest.raises(MotionError, match=r"1\.png cannot be read"):
        read_mask(tmp_path / "1.png")


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "PNG", "WEBP"])
def test_single_pictures_are_clips_of_one_frame(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"one.{kind.lower()}"
    Image.new("RGB", (64, 48), (200, 30, 30)).save(path, kind)
    assert read_clip(path).frames.shape == (1, 48, 64, 3)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(MotionError, match="is a pipe or a device"):
        read_clip(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").rename(tmp_path / "1.png")
    with pytest.raises(MotionError, match="is a pipe or a device"):
        read_clip(tmp_path)


@pytest.mark.parametrize("name", ["a\0b.mp4", "x" * 300 + ".mp4", "x/" * 3000])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(MotionError, match="cannot be opened"):
        read_clip(tmp_path / name)


def test_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to("a.mp4")
    with pytest.raises(MotionError, match="cannot be opened"):
        read_clip(tmp_path / "a.mp4")


def test_digits_of_other_scripts_in_names_are_letters(tmp_path: Path) -> None:
    for shade, name in enumerate(("a2", "a10", "a²", "a٣")):
        Image.new("RGB", (8, 8), (shade * 50,) * 3).save(tmp_path / f"{name}.png")
    assert read_clip(tmp_path).frames[:, 0, 0, 0].tolist()[:2] == [0, 50]


def test_control_characters_of_a_name_are_shown_escaped(tmp_path: Path) -> None:
    (tmp_path / "\x1b[2J\n.mp4").write_text("hello")
    with pytest.raises(MotionError) as raised:
        read_clip(tmp_path / "\x1b[2J\n.mp4")
    assert str(raised.value).isprintable()


def test_frames_too_large_to_decode(tmp_path: Path) -> None:
    side = int(LARGEST_FRAME**0.5) + 2
    Image.new("1", (side, side)).save(tmp_path / "1.png")
    for path in (tmp_path / "1.png", tmp_path):
        with pytest.raises(MotionError, match=f"has frames of {side}x{side}, but more than 35 million pixels"):
            read_clip(path)
    with pytest.raises(MotionError, match=f"has frames of {side}x{side}"):
        read_mask(tmp_path / "1.png")


def test_a_video_that_grows_beyond_what_is_decoded(tmp_path: Path, monkeypatch) -> None:
    """Its header tells only the size of the first frame."""
    from motion_lib.video import sources

    parts = [encode(tmp_path / f"{w}.h264", numbered(4, w, 48), bf="0").read_bytes() for w in (64, 128)]
    (tmp_path / "a.h264").write_bytes(b"".join(parts))
    assert len(read_clip(tmp_path / "a.h264").frames) == 8
    monkeypatch.setattr(sources, "LARGEST_FRAME", 100 * 48)
    with suppress(MotionError):  # frames before it may still be in the decoder when it refuses
        assert len(read_clip(tmp_path / "a.h264").frames) <= 4


def test_an_animation_that_grows(tmp_path: Path, monkeypatch) -> None:
    from motion_lib.video import limits

    data = bytearray(save_animation(tmp_path / "a.gif", noise(4), 40).read_bytes())
    at = data.rfind(b"\x2c\0\0\0\0")
    data[at + 5 : at + 7] = (60_000).to_bytes(2, "little")
    (tmp_path / "a.gif").write_bytes(data)
    monkeypatch.setattr(limits, "LARGEST_FRAME", 64 * 48 * 10)
    with pytest.raises(MotionError, match=r"a\.gif has frames of 60000x"):
        read_clip(tmp_path / "a.gif")


def test_a_clip_too_long_to_be_kept(tmp_path: Path) -> None:
    video = encode(tmp_path / "a.mp4", numbered(12))
    frames, pixels = Limit(frames=8, pixels=10**9), Limit(frames=99, pixels=8 * 64 * 48)
    for limit in (frames, pixels):
        with pytest.raises(MotionError, match=r"a\.mp4 has 9 or more frames of 64x48, .* take fewer frames"):
            read_clip(video, limit=limit)
        assert len(read_clip(video, ClipOptions(frame_load_cap=8), limit=limit).frames) == 8
    assert len(read_clip(video, ClipOptions(width=16), limit=pixels).frames) == 12


def test_sizes_beyond_memory_are_refused_at_the_first_frame(tmp_path: Path) -> None:
    video = encode(tmp_path / "a.mp4", numbered(2))
    with pytest.raises(MotionError, match="has 1 or more frames of 100000x100000"):
        read_clip(video, ClipOptions(width=100_000, height=100_000))


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1.0, 1e9, "8", None, True])
def test_rates_that_no_video_has(tmp_path: Path, rate) -> None:
    with pytest.raises(MotionError, match=r"frames per second"):
        write_video(tmp_path / "a.mp4", torch.zeros(2, 16, 16, 3, dtype=torch.uint8), rate)
    assert not list(tmp_path.iterdir())


def test_a_forced_rate_is_bounded() -> None:
    with pytest.raises(MotionError, match="force_rate"):
        ClipOptions(force_rate=2 * FASTEST)
    with pytest.raises(MotionError, match="skip_first_frames"):
        ClipOptions(skip_first_frames=10**12)


def test_times_that_go_back_stand_still(tmp_path: Path) -> None:
    """Choosing frames by time relies on times that do not decrease."""
    path = encode(tmp_path / "a.mkv", numbered(4), "mjpeg", "yuvj420p", milliseconds=[0, 1000, 2000, 3000])
    data = bytearray(path.read_bytes())
    blocks = [at for at in range(len(data) - 4) if data[at] == 0x81 and data[at + 3] == 0x80]  # track 1, a key frame
    times = [int.from_bytes(data[at + 1 : at + 3], "big") for at in blocks]
    data[blocks[times.index(2000)] + 1 : blocks[times.index(2000)] + 3] = (500).to_bytes(2, "big")
    path.write_bytes(data)
    with open_source(path) as source:
        for _ in source:
            pass
    assert source.times == pytest.approx([0.0, 1.0, 1.0, 3.0])
