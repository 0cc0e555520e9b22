"""Writing clips: what comes back, what a browser needs, and that a failure leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from motion_lib.errors import MotionError
from motion_lib.video import read_clip, write_video
from motion_lib.video.write import WRITERS, durations
from tests.video.clips import numbered, numbers, quadrants

FORMATS = tuple(WRITERS)


def smooth(count: int = 6, height: int = 48, width: int = 64) -> torch.Tensor:
    """Float `[f, h, w, 3]` in [0, 1]: gradients that move."""
    f, y, x = torch.meshgrid(*(torch.linspace(0, 1, n) for n in (count, height, width)), indexing="ij")
    return torch.stack(((x + f) / 2, (y + f) / 2, 1 - x), -1)


@pytest.mark.parametrize("suffix", FORMATS)
def test_frames_and_rate_come_back(tmp_path: Path, suffix: str) -> None:
    frames = torch.from_numpy(numbered(20))
    write_video(tmp_path / f"a{suffix}", frames, 24000 / 1001)
    clip = read_clip(tmp_path / f"a{suffix}")
    assert numbers(clip.frames) == list(range(20)) and clip.notes == ()
    assert clip.fps == pytest.approx(24000 / 1001, rel={".gif": 1e-2, ".webp": 1e-3}.get(suffix, 1e-9))
    assert list(tmp_path.iterdir()) == [tmp_path / f"a{suffix}"]


@pytest.mark.parametrize(("suffix", "tolerance"), [(".mp4", 0.01), (".webm", 0.01), (".gif", 0.03), (".webp", 0.01)])
def test_colours_come_back(tmp_path: Path, suffix: str, tolerance: float) -> None:
    frames = smooth()
    write_video(tmp_path / f"a{suffix}", frames, 8)
    error = read_clip(tmp_path / f"a{suffix}").frames / 255 - frames
    assert error.abs().mean() < tolerance and error.mean((0, 1, 2)).abs().max() < tolerance


def test_float_and_uint8_give_the_same_file_and_overshoot_is_clipped(tmp_path: Path) -> None:
    frames = smooth() * 1.2 - 0.1
    write_video(tmp_path / "float.mp4", frames, 8)
    write_video(tmp_path / "half.mp4", frames.clamp(0, 1).mul(255).round().to(torch.uint8), 8)
    assert (tmp_path / "float.mp4").read_bytes() == (tmp_path / "half.mp4").read_bytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_same_input_same_bytes(tmp_path: Path, suffix: str) -> None:
    written = set()
    for index in range(6):
        junk = [np.random.rand(2000 * (index + k)) for k in range(20)]  # what the encoder finds in fresh memory
        del junk
        write_video(tmp_path / f"a{suffix}", smooth(6, 128, 192), 8)
        written.add((tmp_path / f"a{suffix}").read_bytes())
    assert len(written) == 1


def test_mp4_plays_in_browsers(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", smooth(), 8)
    with av.open(str(tmp_path / "a.mp4")) as file:
        context = file.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        frame = next(file.decode(video=0))
        assert (frame.colorspace, frame.color_range) == (6, 1)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # faststart


@pytest.mark.parametrize("fps", [0.001, 12.5, 23.976, 24000 / 1001, 30000 / 1001, 59.94, 15.00166])
def test_rate_of_an_mp4_is_exact(tmp_path: Path, fps: float) -> None:
    write_video(tmp_path / "a.mp4", smooth(), fps)
    assert read_clip(tmp_path / "a.mp4").fps == pytest.approx(fps, rel=1e-9)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations_loop_for_ever(tmp_path: Path, suffix: str) -> None:
    write_video(tmp_path / f"a{suffix}", smooth(), 8)
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.info["loop"] == 0


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_odd_sizes_are_padded_by_the_edge(tmp_path: Path, suffix: str) -> None:
    image = quadrants(101, 67)
    write_video(tmp_path / f"a{suffix}", torch.from_numpy(image[None].repeat(3, 0)), 8)
    frame = read_clip(tmp_path / f"a{suffix}").frames[0].int()
    assert frame.shape == (68, 102, 3)
    assert (frame[60, 90:] - 220).abs().max() <= 6 and (frame[60:, 90] - 220).abs().max() <= 6


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_odd_sizes_of_animations_stay(tmp_path: Path, suffix: str) -> None:
    write_video(tmp_path / f"a{suffix}", torch.from_numpy(quadrants(101, 67))[None], 8)
    assert read_clip(tmp_path / f"a{suffix}").frames.shape == (1, 67, 101, 3)


def test_repeated_frames_of_an_animation_last_longer(tmp_path: Path) -> None:
    frames = torch.from_numpy(numbered(3))[[0, 1, 1, 1, 2]]
    write_video(tmp_path / "a.webp", frames, 10)
    with Image.open(tmp_path / "a.webp") as image:
        shown = []
        for index in range(image.n_frames):
            image.seek(index)
            image.load()
            shown.append(image.info["duration"])
    assert shown == [100, 300, 100]


@given(count=st.integers(1, 200), fps=st.floats(1, 50), tick=st.sampled_from([1, 10]))
def test_durations_do_not_drift(count: int, fps: float, tick: int) -> None:
    ends = np.cumsum(durations(count, fps, tick))
    assert np.abs(ends - 1000 / fps * np.arange(1, count + 1)).max() <= tick / 2 + 1e-6
    assert (ends % tick == 0).all()


def test_24_frames_per_second_in_hundredths() -> None:
    assert durations(6, 24, 10) == [40, 40, 40, 50, 40, 40]


# Bad input


@pytest.mark.parametrize("name", ["a.png", "a.avi", "a"])
def test_unknown_format_lists_the_known(tmp_path: Path, name: str) -> None:
    with pytest.raises(MotionError, match=rf"^{name} cannot .* use one of \.mp4, \.webm, \.gif, \.webp\."):
        write_video(tmp_path / name, smooth(), 8)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("fps", [0.002, 0.0123456789, 50, 999.9999999, 1000])
def test_every_rate_that_is_allowed_can_be_written(tmp_path: Path, suffix: str, fps: float) -> None:
    if suffix == ".gif" and fps > 50:
        with pytest.raises(MotionError, match="A GIF plays"):
            write_video(tmp_path / "a.gif", smooth(), fps)
    else:
        write_video(tmp_path / f"a{suffix}", smooth(), fps)
        assert len(read_clip(tmp_path / f"a{suffix}").frames)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1e-4, 10**400, 1e300, "8", None, [8]])
def test_impossible_rate(tmp_path: Path, fps: float) -> None:
    with pytest.raises(MotionError, match=r"^fps is "):
        write_video(tmp_path / "a.mp4", smooth(), fps)


def test_too_fast_for_a_gif(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match=r"to 50 frames per second, not 60"):
        write_video(tmp_path / "a.gif", smooth(), 60)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(tmp_path: Path, value: float) -> None:
    frames = smooth()
    frames[2, 3, 4, 1] = value
    with pytest.raises(MotionError, match="NaN or infinite"):
        write_video(tmp_path / "a.mp4", frames, 8)


@pytest.mark.parametrize("shape", [(48, 64, 3), (6, 3, 48, 64), (0, 48, 64, 3), (2, 0, 64, 3)])
def test_wrong_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(MotionError, match="frames have the shape"):
        write_video(tmp_path / "a.mp4", torch.zeros(shape), 8)


def test_wrong_type(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match=r"^frames are torch\.int64"):
        write_video(tmp_path / "a.mp4", smooth().long(), 8)


def test_missing_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", set())
    with pytest.raises(MotionError, match="This PyAV lacks libx264"):
        write_video(tmp_path / "a.mp4", smooth(), 8)


def test_size_that_the_encoder_refuses(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match=r"^Cannot write .*a\.webp"):
        write_video(tmp_path / "a.webp", torch.zeros(2, 1, 20000, 3), 8)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("suffix", FORMATS)
def test_full_disk_leaves_the_old_file(tmp_path: Path, suffix: str, share: float) -> None:
    resource = pytest.importorskip("resource")  # a limit on the size of files fails as a full disk does: while writing
    frames = torch.rand(8, 48, 64, 3, generator=torch.Generator().manual_seed(0))
    target = tmp_path / f"a{suffix}"
    write_video(target, frames, 8)
    whole = target.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(1, int(share * len(whole))), hard))
    try:
        with pytest.raises(MotionError, match=rf"^Cannot write .*a\{suffix}: File too large"):
            write_video(target, frames, 8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert target.read_bytes() == whole and list(tmp_path.iterdir()) == [target]


def test_folder_is_made_and_a_file_in_its_place_is_an_error(tmp_path: Path) -> None:
    write_video(tmp_path / "deep" / "er" / "a.webp", smooth(), 8)
    with pytest.raises(MotionError, match=r"^Cannot write"):
        write_video(tmp_path / "deep" / "er" / "a.webp" / "b.webp", smooth(), 8)
