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
    """What is learned (sites to v_axes, see MotionEmbedding.zeros), how it is applied (strength_qk to end, which are
    explained in MotionPatch), and how videos are sampled with it."""

    about: str
    settings: TrainingSettings
    sites: str = "coarse"
    """The layers to learn at: all, coarse, coarse_up, deep (the widest layers), or a comma-separated list of names and
    patterns, such as up_blocks.1.* for one block."""
    components: str = "both"
    """Which embeddings are learned. qk is the query-key embedding alone, which makes a small file without appearance; v
    is the value embedding alone; none learns nothing and serves as a comparison."""
    integration: str = "add"
    """How the embedding joins the model's features: it is added, it becomes extra channels that go through a learned
    map (concatenate), or it is multiplied."""
    qk_axes: str = "none"
    """How finely the query-key embedding varies over the picture: not at all (none, as in the paper), from cell to cell
    of a coarse grid of 4x4 (partial), or from position to position (full)."""
    v_axes: str = "2d"
    """How finely the value embedding varies over the picture: from position to position (2d, as in the paper), or not
    at all (1d)."""
    strength_qk: float = 1.0
    strength_v: float = 1.0
    debias: str = "difference"
    start: float = 0.0
    end: float = 1.0
    noise_weight: float = 0.5
    """The share of the clip's noise in the start noise, from 0 (fresh noise) to 1. A higher share keeps more of the
    motion, but also more of the clip's layout, and makes different seeds more alike."""
    camera_end: float = 0.0
    """The point of sampling until which the video is held to the camera's path: 1 is the finished video, and a lower
    value leaves objects freer to move on their own. 0 leaves the camera to the model."""
    objects: float = 0.0
    """The camera leaves alone what moves apart from it, in full where that differs by this share of the largest
    difference; 0 leaves nothing alone."""

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
        about="how the camera moves: pan, tilt, zoom (which also works without learning)",
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
