"""Small real files made on the fly, with frames that say which one they are."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

# A file name for each container, and its codec.
CODECS = {"a.mp4": "libx264", "a.mov": "libx264", "a.mkv": "libx264", "a.avi": "mpeg4", "a.webm": "libvpx-vp9"}
STEP = 6  # grey levels between consecutive frames: more than any codec here is off


def numbered(count: int, width: int = 64, height: int = 48) -> np.ndarray:
    """uint8 `[f, h, w, 3]`: frame i is plain grey of level 10 + STEP * i."""
    levels = 10 + STEP * np.arange(count, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).copy()


def numbers(frames: torch.Tensor) -> list[int]:
    """Which frames of `numbered` these are."""
    return ((frames.float().mean((1, 2, 3)) - 10) / STEP).round().int().tolist()


def quadrants(width: int = 64, height: int = 48) -> np.ndarray:
    """uint8 `[h, w, 3]`: red, green / blue, white."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (200, 30, 30)
    image[: height // 2, width // 2 :] = (30, 180, 30)
    image[height // 2 :, : width // 2] = (40, 40, 200)
    image[height // 2 :, width // 2 :] = (220, 220, 220)
    return image


def encode(
    path: Path,
    frames: np.ndarray,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int = 24,
    milliseconds: Sequence[int] | None = None,
    **options: str,
) -> Path:
    """Encode frames `[f, h, w, 3]` (RGB) or `[f, h, w, 4]` (RGBA), at `rate` or at given presentation times."""
    with av.open(str(path), "w", options={"movflags": "+faststart"} if path.suffix in (".mp4", ".mov") else {}) as file:
        stream = file.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        clock = Fraction(1, 1000) if milliseconds else Fraction(1, rate)
        stream.codec_context.time_base = clock
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgba" if image.shape[-1] == 4 else "rgb24")
            if pix_fmt.startswith("yuv"):
                frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = milliseconds[index] if milliseconds else index, clock
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def set_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Write the 2×2 part of the first track's display matrix into an .mp4, as a phone does."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def encode_audio(path: Path) -> Path:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def save_animation(path: Path, frames: np.ndarray, milliseconds: int | list[int]) -> Path:
    first, *rest = map(Image.fromarray, frames)
    first.save(path, save_all=True, append_images=rest, duration=milliseconds, loop=0, lossless=True)
    return path


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 48, 64, 3), np.uint8)
