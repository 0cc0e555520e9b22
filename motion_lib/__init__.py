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
    "CameraAlignment": "alignment",
    "CameraPath": "camera_path",
    "Lesson": "together",
    "MotionEmbedding": "embedding",
    "MotionError": "errors",
    "MotionPatch": "patch",
    "TrainingSettings": "training",
    "TrainingState": "training",
    "follow_camera": "metrics.camera",
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
    "warped_noise": "noise_warping",
    "write_video": "video",
}

if TYPE_CHECKING:
    from .alignment import CameraAlignment
    from .backbones import load_model
    from .camera_path import CameraPath
    from .embedding import MotionEmbedding
    from .errors import MotionError
    from .files import load_embedding, save_embedding
    from .inversion import invert
    from .metrics.camera import follow_camera
    from .noise import mix
    from .noise_warping import warped_noise
    from .patch import MotionPatch
    from .presets import preset
    from .sampling import random_noise, sample
    from .together import Lesson, train_together
    from .training import TrainingSettings, TrainingState, train
    from .video import read_clip, write_video

__all__ = [
    "CameraAlignment",
    "CameraPath",
    "Lesson",
    "MotionEmbedding",
    "MotionError",
    "MotionPatch",
    "TrainingSettings",
    "TrainingState",
    "follow_camera",
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
    "warped_noise",
    "write_video",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
