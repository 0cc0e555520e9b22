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
    "CameraAlignment": "camera.alignment",
    "CameraPath": "camera.path",
    "MotionEmbedding": "method.embedding",
    "MotionError": "errors",
    "MotionPatch": "method.patch",
    "TrainingRun": "training.loop",
    "TrainingSettings": "training.settings",
    "TrainingState": "training.state",
    "follow_camera": "camera.measure",
    "invert": "diffusion.inversion",
    "load_embedding": "files.embedding_file",
    "load_model": "backbones",
    "mix": "diffusion.noise",
    "preset": "training.presets",
    "random_noise": "diffusion.sampling",
    "read_clip": "video",
    "sample": "diffusion.sampling",
    "save_embedding": "files.embedding_file",
    "train": "training.loop",
    "train_together": "training.loop",
    "warped_noise": "camera.noise_warping",
    "write_video": "video",
}

if TYPE_CHECKING:
    from .backbones import load_model
    from .camera.alignment import CameraAlignment
    from .camera.measure import follow_camera
    from .camera.noise_warping import warped_noise
    from .camera.path import CameraPath
    from .diffusion.inversion import invert
    from .diffusion.noise import mix
    from .diffusion.sampling import random_noise, sample
    from .errors import MotionError
    from .files.embedding_file import load_embedding, save_embedding
    from .method.embedding import MotionEmbedding
    from .method.patch import MotionPatch
    from .training.loop import TrainingRun, train, train_together
    from .training.presets import preset
    from .training.settings import TrainingSettings
    from .training.state import TrainingState
    from .video import read_clip, write_video

__all__ = [
    "CameraAlignment",
    "CameraPath",
    "MotionEmbedding",
    "MotionError",
    "MotionPatch",
    "TrainingRun",
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
