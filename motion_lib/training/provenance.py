"""Where a motion that is about to be learned comes from, as its file will say."""

from __future__ import annotations

import base64
import hashlib
import io
from datetime import datetime, timezone

import torch
from PIL import Image
from torch import Tensor

from ..errors import MotionError
from ..files.details import checked
from ..method.records import Origin
from ..video.place import Place
from .presets import Preset

THUMBNAIL = 96  # pixels of a frame's longer side


def clip_hash(frames: Tensor) -> str:
    """SHA-256 of frames uint8 `[f, h, w, 3]` and their shape."""
    return hashlib.sha256(str(tuple(frames.shape)).encode() + frames.contiguous().numpy().tobytes()).hexdigest()


def origin_of(
    *,
    frames: Tensor | None,
    fps: float | None,
    source: str,
    prompt: str | None,
    model: str,
    preset: str,
    chosen: Preset,
) -> Origin:
    """The origin of a motion that is about to be learned from frames uint8 `[f, h, w, 3]`. What is None is left out.

    Raises MotionError for what could not be written to a file, before anything is learned.
    """
    origin = Origin(
        title=f"{source} ({preset})",
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        thumbnail=None if frames is None else thumbnail(frames),
        preset=preset,
        model=model,
        prompt=prompt,
        source=source,
        clip_sha256=None if frames is None else clip_hash(frames),
        fps=None if fps is None else round(fps, 4),
        width=None if frames is None else frames.shape[2],
        height=None if frames is None else frames.shape[1],
        settings=chosen.settings.recorded(),
    )
    return checked(origin, chosen.application.advice())[0]


def place_in(frames: Tensor, at: int) -> tuple[float, ...]:
    """Where in frame `at` of frames uint8 `[f, h, w, 3]` the thing is that moves: x, y and size (see Place); nothing
    where it cannot be told from the background, as under a moving camera."""
    try:
        return tuple(round(value, 4) for value in Place.of_moving(frames, at))
    except MotionError:
        return ()


def thumbnail(frames: Tensor, count: int = 4) -> str:
    """A data URI: `count` frames side by side, from the first to the last."""
    chosen = frames[torch.linspace(0, len(frames) - 1, min(count, len(frames))).round().long()]
    images = [Image.fromarray(frame.numpy()) for frame in chosen]
    for image in images:
        image.thumbnail((THUMBNAIL, THUMBNAIL))
    width, height = images[0].size
    strip = Image.new("RGB", (width * len(images), height))
    for i, image in enumerate(images):
        strip.paste(image, (i * width, 0))
    buffer = io.BytesIO()
    strip.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
