"""Write frames as a video; the extension chooses the format."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import av.error
import numpy as np
import torch
from PIL import Image

from ..errors import MotionError, shown
from ..files.atomic import replacing
from .limits import FASTEST, SLOWEST, is_rate

# The matrix of swscale's default conversion, written down so that no player has to guess: values of ITU-T H.273.
COLOUR_TAGS = {"color_primaries": 1, "color_trc": 1, "colorspace": 6, "color_range": 1}
THREADS = 4  # fixed, because encoders split their work by it: as many as there are cores would change the file


def write_video(path: str | Path, frames: torch.Tensor, fps: float) -> None:
    """Write `frames` to .mp4 (H.264 that browsers play), .webm (VP9), .gif or .webp (both looped).

    The file appears whole or not at all. The same input gives the same bytes, as long as the encoders are the same. An
    odd width or height is padded by one pixel in .mp4 and .webm. GIF and WebP merge repeated frames into a longer one.

    Args:
        path: its folder is made if missing.
        frames: `[f, h, w, 3]` RGB, uint8 or float in [0, 1]; floats outside are clipped.
        fps: frames per second; GIF knows only hundredths of a second, which are spread so that no drift arises.

    Raises:
        MotionError: unknown extension, wrong shape, dtype, value or rate, or a file that cannot be written.
    """
    path = Path(path)
    check_writable(path, fps)
    pixels = to_uint8(frames)
    with replacing(path) as temporary:
        try:
            WRITERS[path.suffix.lower()](temporary, pixels, fps)
        except (av.error.FFmpegError, ValueError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error  # the disk is full, or an encoder refuses the size
            raise MotionError(f"Cannot write {path}: {reason}; check size, format and free space.") from error


def check_writable(path: str | Path, fps: float) -> None:
    """Raise MotionError for an extension or a rate that `write_video` would refuse, before anything is computed."""
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        raise MotionError(f"{shown(path.name)} cannot be written as a video; use one of {', '.join(WRITERS)}.")
    if not is_rate(fps):
        raise MotionError(
            f"fps is {shown(fps, 40)}, but {shown(path.name)} needs frames per second from {SLOWEST:g} to {FASTEST:g}."
        )


def to_uint8(frames: torch.Tensor) -> np.ndarray:
    """uint8 `[f, h, w, 3]` of uint8 or float frames; raises MotionError for anything else."""
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise MotionError(
            f"frames have the shape {list(frames.shape)}, but a video needs [f, h, w, 3], none of them 0."
        )
    if frames.is_floating_point():
        if not torch.isfinite(frames).all():
            raise MotionError("frames contain NaN or infinite values; check what produced them before writing.")
        frames = frames.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    if frames.dtype != torch.uint8:
        raise MotionError(f"frames are {frames.dtype}, but a video needs uint8, or float between 0 and 1.")
    return frames.cpu().numpy()


def encode(path: Path, pixels: np.ndarray, fps: float, codec: str, quality: dict[str, str], **muxing: str) -> None:
    if codec not in av.codecs_available:
        raise MotionError(f"This PyAV lacks {codec} for {path.suffix}; write .webp, or install av from PyPI.")
    pixels = np.pad(pixels, ((0, 0), (0, pixels.shape[1] % 2), (0, pixels.shape[2] % 2), (0, 0)), mode="edge")
    rate = Fraction(fps).limit_denominator(100_000)  # finds 24000/1001 and its kin
    # bitexact: no library version and no random identifier in the header.
    with av.open(str(path), "w", options={"fflags": "+bitexact", **muxing}) as container:
        stream = container.add_stream(codec, rate=rate, options=quality)
        stream.height, stream.width = pixels.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 0  # constant quality; PyAV's default is a bit rate
        stream.codec_context.thread_count = THREADS
        for tag, value in COLOUR_TAGS.items():
            setattr(stream.codec_context, tag, value)
        for index, image in enumerate(pixels):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_mp4(path: Path, pixels: np.ndarray, fps: float) -> None:
    # No B-frames: with them x264 (core 164 and 165) decides by memory it never wrote, so that the same input gives
    # different files. faststart: plays while it loads.
    encode(path, pixels, fps, "libx264", {"crf": "17", "bf": "0"}, movflags="+faststart")


def write_webm(path: Path, pixels: np.ndarray, fps: float) -> None:
    encode(path, pixels, fps, "libvpx-vp9", {"crf": "20", "cpu-used": "4"})


def write_gif(path: Path, pixels: np.ndarray, fps: float) -> None:
    if not 0.002 <= fps <= 50:  # a frame lasts 2 to 65535 hundredths of a second
        raise MotionError(f"A GIF plays from 0.002 to 50 frames per second, not {fps:g}; write .webp or .mp4.")
    save_animation(path, pixels, durations(len(pixels), fps, tick=10))


def write_webp(path: Path, pixels: np.ndarray, fps: float) -> None:
    save_animation(path, pixels, durations(len(pixels), fps, tick=1), quality=90)


def save_animation(path: Path, pixels: np.ndarray, duration: list[int], quality: int = 100) -> None:
    first, *rest = (Image.fromarray(image) for image in pixels)
    first.save(path, save_all=True, append_images=rest, duration=duration, loop=0, quality=quality)


def durations(count: int, fps: float, tick: int) -> list[int]:
    """Milliseconds that each of `count` frames is shown, multiples of `tick`; their sums are never off by a whole one.

    Durations rounded one by one would play 24 fps as 25 in a GIF.
    """
    ends = [round(index * 1000 / fps / tick) * tick for index in range(count + 1)]
    return [end - start for start, end in pairwise(ends)]


WRITERS: dict[str, Callable[[Path, np.ndarray, float], None]] = {
    ".mp4": write_mp4,
    ".webm": write_webm,
    ".gif": write_gif,
    ".webp": write_webp,
}
