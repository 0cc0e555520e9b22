"""Motion transfer for video generation: learn the motion of one clip, give it to other videos.

Motion Inversion for Video Customization (Wang et al., arXiv 2403.20193) learns small motion embeddings for the temporal
attention of a frozen text-to-video model. The names below are the whole public surface; nothing is imported before it
is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Lesson": "together",
    "MotionEmbedding": "embedding",
    "MotionError": "errors",
    "MotionPatch": "patch",
    "TrainingSettings": "training",
    "TrainingState": "training",
    "invert": "inversion",
    "load_embedding": "files",
    "load_model": "backbones",
    "mix": "noise",
    "preset": "presets",
    "random_noise": "sampling",
    "read_clip": "video",
    "sample": "sampling",
    "save_embedding": "files",
    "train": "training",
    "train_together": "together",
    "write_video": "video",
}

if TYPE_CHECKING:
    from .backbones import load_model
    from .embedding import MotionEmbedding
    from .errors import MotionError
    from .files import load_embedding, save_embedding
    from .inversion import invert
    from .noise import mix
    from .patch import MotionPatch
    from .presets import preset
    from .sampling import random_noise, sample
    from .together import Lesson, train_together
    from .training import TrainingSettings, TrainingState, train
    from .video import read_clip, write_video

__all__ = [
    "Lesson",
    "MotionEmbedding",
    "MotionError",
    "MotionPatch",
    "TrainingSettings",
    "TrainingState",
    "invert",
    "load_embedding",
    "load_model",
    "mix",
    "preset",
    "random_noise",
    "read_clip",
    "sample",
    "save_embedding",
    "train",
    "train_together",
    "write_video",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
