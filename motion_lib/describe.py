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

from .presets import APPLICATION, Preset
from .training import TrainingSettings

THUMBNAIL = 96  # pixels of a frame's longer side


def clip_hash(frames: Tensor) -> str:
    """SHA-256 of frames uint8 `[f, h, w, 3]` and their shape."""
    return hashlib.sha256(str(tuple(frames.shape)).encode() + frames.contiguous().numpy().tobytes()).hexdigest()


def details_of(
    *, frames: Tensor, fps: float, source: str, prompt: str, model: str, preset: str, chosen: Preset
) -> dict[str, Any]:
    """Details of a motion that is about to be learned from frames uint8 `[f, h, w, 3]`."""
    settings: TrainingSettings = chosen.settings
    return {
        "title": f"{source} ({preset})",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "thumbnail": thumbnail(frames),
        "preset": preset,
        "model": model,
        "prompt": prompt,
        "source": source,
        "clip_sha256": clip_hash(frames),
        "fps": round(fps, 4),
        "width": frames.shape[2],
        "height": frames.shape[1],
        "loss": settings.loss,
        "learning_rate": settings.learning_rate,
        "timesteps": list(settings.timesteps),
        "steps": settings.steps,
        "seed": settings.seed,
        "apply": {name: getattr(chosen, name) for name in APPLICATION} | {"noise_weight": chosen.noise_weight},
    }


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
