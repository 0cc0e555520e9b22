"""What to train, how, and how to apply it, per kind of motion. Every value can be overridden; what each does to the
motion and to the picture is measured in docs/settings.md."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import MotionError
from ..method.application import APPLICATIONS, Application
from ..method.embedding import Backbone, MotionEmbedding
from ..method.patch import MotionPatch
from .loop import TrainingSettings


@dataclass(frozen=True)
class Preset:
    """sites to v_axes: what is learned (see MotionEmbedding.zeros)."""

    about: str
    settings: TrainingSettings
    sites: str = "coarse"
    components: str = "both"
    integration: str = "add"
    qk_axes: str = "none"
    v_axes: str = "2d"
    application: Application = field(default_factory=Application)

    def empty(self, backbone: Backbone, frames: int, latent_size: tuple[int, int]) -> MotionEmbedding:
        """The embedding that training begins with, for latents of this size (height, width).

        Raises MotionError for an unknown choice.
        """
        return MotionEmbedding.zeros(
            backbone,
            self.sites,
            frames,
            latent_size,
            self.components,
            integration=self.integration,
            qk_axes=self.qk_axes,
            v_axes=self.v_axes,
            seed=self.settings.seed,
        )

    def patch(self, embedding: MotionEmbedding, **overrides: Any) -> MotionPatch:
        """The embedding as this preset applies it; overrides are fields of MotionPatch, None keeps the preset's."""
        return self.application.patch(embedding, **overrides)


LEARNED = ("sites", "components", "integration", "qk_axes", "v_axes")

# Motion is decided where noise is high. Learning there, faster and at fewer layers than published, takes 100 to
# 150 steps instead of 400.
_QUICK = TrainingSettings(steps=150, learning_rate=0.1, final_rate=0.1, timesteps=(600, 999), velocity_weight=True)

PRESETS: dict[str, Preset] = {
    "object": Preset(
        about="an object's own motion: its path, speed and growth",
        # Kept to where the clip moves, and to what changes from frame to frame, the embedding leaves the look alone.
        settings=replace(_QUICK, loss="debiased", learning_rate=0.15, train_debias="difference", motion_mask=0.35),
        sites="coarse_up",
        application=APPLICATIONS["object"],
    ),
    "camera": Preset(
        about="how the camera moves: pan, tilt, zoom (which can be had without learning)",
        settings=replace(_QUICK, loss="debiased"),
        application=APPLICATIONS["camera"],
    ),
}
PRESETS["hybrid"] = replace(PRESETS["object"], about="camera and object together", application=APPLICATIONS["hybrid"])


def preset(name: str) -> Preset:
    """Raises MotionError for an unknown name."""
    if name not in PRESETS:
        raise MotionError(f"preset is '{name}', but it must be one of {', '.join(PRESETS)}.")
    return PRESETS[name]
