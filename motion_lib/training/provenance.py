"""What an embedding file says about itself: where the motion came from, how it was learned, how to apply it."""

from __future__ import annotations

import base64
import hashlib
import io
from datetime import datetime, timezone
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..method.details import checked
from ..method.embedding import MotionEmbedding
from ..method.patch import MotionPatch
from .presets import APPLICATION, PRESETS, SAMPLING, Preset
from .settings import TrainingSettings

THUMBNAIL = 96  # pixels of a frame's longer side


def clip_hash(frames: Tensor) -> str:
    """SHA-256 of frames uint8 `[f, h, w, 3]` and their shape."""
    return hashlib.sha256(str(tuple(frames.shape)).encode() + frames.contiguous().numpy().tobytes()).hexdigest()


def details_of(
    *,
    frames: Tensor | None,
    fps: float | None,
    source: str,
    prompt: str | None,
    model: str,
    preset: str,
    chosen: Preset,
) -> dict[str, Any]:
    """Details of a motion that is about to be learned from frames uint8 `[f, h, w, 3]`. What is None is left out.

    Raises MotionError for what could not be written to a file, before anything is learned.
    """
    settings: TrainingSettings = chosen.settings
    details = {
        "title": f"{source} ({preset})",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "thumbnail": None if frames is None else thumbnail(frames),
        "preset": preset,
        "model": model,
        "prompt": prompt,
        "source": source,
        "clip_sha256": None if frames is None else clip_hash(frames),
        "fps": None if fps is None else round(fps, 4),
        "width": None if frames is None else frames.shape[2],
        "height": None if frames is None else frames.shape[1],
        "loss": settings.loss,
        "learning_rate": settings.learning_rate,
        "lr_schedule": settings.lr_schedule,
        "timesteps": list(settings.timesteps),
        "timestep_bias": settings.timestep_bias,
        "train_debias": settings.train_debias,
        "motion_mask": settings.motion_mask,
        "steps": settings.steps,
        "seed": settings.seed,
        "apply": {name: getattr(chosen, name) for name in (*APPLICATION, *SAMPLING)},
    }
    return checked({name: value for name, value in details.items() if value is not None})


def usual_patch(embedding: MotionEmbedding, strength: float = 1.0) -> MotionPatch:
    """The embedding as its file says to apply it, or else as its preset does, with both strengths multiplied.

    Raises MotionError when the two contradict each other, as with an end that is before the preset's start.
    """
    entry = PRESETS.get(embedding.details.get("preset", ""), next(iter(PRESETS.values())))
    advice = embedding.details.get("apply", {})
    usual = {name: advice.get(name, getattr(entry, name)) for name in APPLICATION}
    for name in ("strength_qk", "strength_v"):
        usual[name] *= strength
    return MotionPatch(embedding, **usual)


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
