"""What to train, how, and how to apply it, per kind of motion. Every value can be overridden; what each does to the
motion and to the picture is measured in docs/settings.md."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..errors import MotionError
from ..method.embedding import Backbone, MotionEmbedding
from ..method.patch import MotionPatch
from .settings import TrainingSettings


@dataclass(frozen=True)
class Preset:
    """sites to v_axes: what is learned (see MotionEmbedding.zeros). strength_qk to end: how it is applied (see
    MotionPatch). noise_weight: how much inversion noise the start noise holds. camera_end: until where in sampling the
    video is held to the reference's camera, from noise that it carries (see CameraAlignment); 0 is not at all. objects:
    what moves apart from that camera by more than this share is left alone; 0 leaves nothing alone."""

    about: str
    settings: TrainingSettings
    sites: str = "coarse"
    components: str = "both"
    integration: str = "add"
    qk_axes: str = "none"
    v_axes: str = "2d"
    strength_qk: float = 1.0
    strength_v: float = 1.0
    debias: str = "difference"
    start: float = 0.0
    end: float = 1.0
    noise_weight: float = 0.5
    camera_end: float = 0.0
    objects: float = 0.0

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
        usual = {name: getattr(self, name) for name in APPLICATION}
        return MotionPatch(embedding, **usual | {k: v for k, v in overrides.items() if v is not None})


LEARNED = ("sites", "components", "integration", "qk_axes", "v_axes")
APPLICATION = ("strength_qk", "strength_v", "debias", "start", "end")
SAMPLING = ("noise_weight", "camera_end", "objects")  # what else a preset says about making videos

# Motion is decided where noise is high. Learning there, faster and at fewer layers than published, takes 100 to
# 150 steps instead of 400.
_QUICK = TrainingSettings(steps=150, learning_rate=0.1, final_rate=0.1, timesteps=(600, 999), velocity_weight=True)

PRESETS: dict[str, Preset] = {
    "object": Preset(
        about="an object's own motion: its path, speed and growth",
        # Kept to where the clip moves, and to what changes from frame to frame, the embedding leaves the look alone.
        settings=replace(_QUICK, loss="debiased", learning_rate=0.15, train_debias="difference", motion_mask=0.35),
        sites="coarse_up",
        debias="vanilla",  # it was learned debiased
        end=0.4,  # the path is decided early, the look late: there the prompt is left alone
        noise_weight=0.1,  # more of it makes videos of different seeds alike
    ),
    "camera": Preset(
        about="how the camera moves: pan, tilt, zoom (which can be had without learning)",
        settings=replace(_QUICK, loss="debiased"),
        # The camera's path does most, early in sampling the embedding helps a little; more of it costs words.
        debias="vanilla",
        strength_v=0.5,
        end=0.4,
        noise_weight=0.0,
        camera_end=1.0,
    ),
}
PRESETS["hybrid"] = replace(
    PRESETS["object"], about="camera and object together", noise_weight=0.3, camera_end=1.0, objects=0.5
)


def preset(name: str) -> Preset:
    """Raises MotionError for an unknown name."""
    if name not in PRESETS:
        raise MotionError(f"preset is '{name}', but it must be one of {', '.join(PRESETS)}.")
    return PRESETS[name]
