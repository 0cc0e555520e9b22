"""What to train and how, per kind of motion. Every value can be overridden; what each does for quality is measured in
the README."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import MotionError
from .training import TrainingSettings


@dataclass(frozen=True)
class Preset:
    """sites and components: what is learned. strength_v and debias: how it is applied. noise_weight: how much inversion
    noise the start noise holds."""

    about: str
    settings: TrainingSettings
    sites: str = "all"
    components: str = "both"
    strength_qk: float = 1.0
    strength_v: float = 1.0
    debias: str = "difference"
    noise_weight: float = 0.5


PRESETS: dict[str, Preset] = {
    "camera": Preset(
        about="camera moves: pan, tilt, zoom; only the query-key embedding acts, so no appearance can leak",
        settings=TrainingSettings(steps=300, loss="debiased"),
        strength_v=0.0,
    ),
    "object": Preset(
        about="an object's own motion, learned at the widest layers",
        settings=TrainingSettings(steps=400, loss="mse"),
        sites="deep",
    ),
    "hybrid": Preset(
        about="camera and object together, learned at all layers",
        settings=TrainingSettings(steps=350, loss="debiased"),
    ),
}


def preset(name: str) -> Preset:
    """Raises MotionError for an unknown name."""
    if name not in PRESETS:
        raise MotionError(f"preset is '{name}', but it must be one of {', '.join(PRESETS)}.")
    return PRESETS[name]


