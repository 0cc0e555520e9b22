"""What to train, how, and how to apply it, per kind of motion. Every value can be overridden; what each does to the
motion and to the picture is measured in docs/settings.md."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..errors import MotionError
from ..method.application import APPLICATIONS, STACKED_OBJECT, STACKED_OBJECT_OF_SEVERAL, Application
from ..method.embedding import Backbone, MotionEmbedding
from ..method.integration import EXTRA_CHANNELS
from ..method.patch import MotionPatch
from .settings import TrainingSettings

if TYPE_CHECKING:
    from ..backbones.accelerate.abilities import AbleDenoiser


@dataclass(frozen=True)
class Preset:
    """What is learned (sites to v_axes, see MotionEmbedding.zeros), and how it is applied."""

    about: str
    settings: TrainingSettings
    sites: str = "coarse"
    """The layers to learn at: all, coarse, coarse_up, deep (the widest layers), of Wan models all, early, middle, late,
    or a comma-separated list of names and patterns, such as up_blocks.1.* for one block."""
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
    """How finely the value embedding varies over the picture: from position to position (2d, as in the paper), on a
    grid of at most 128 positions (coarse), or not at all (1d)."""
    application: Application = field(default_factory=Application)

    def empty(
        self, backbone: Backbone, frames: int, latent_size: tuple[int, int], rank: int = EXTRA_CHANNELS
    ) -> MotionEmbedding:
        """The embedding that training begins with, for latents of this size (height, width); rank: the extra channels
        of a concatenated one.

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
            rank=rank,
        )

    def suiting(self, denoiser: AbleDenoiser) -> Preset:
        """The same with `TrainingSettings.suiting`."""
        return replace(self, settings=self.settings.suiting(denoiser.process, denoiser.abilities.pictures))

    def learned_from(self, clips: int) -> Preset:
        """The same as it is applied when it is learned from so many clips of one motion."""
        if clips > 1 and self.application == STACKED_OBJECT:
            return replace(self, application=STACKED_OBJECT_OF_SEVERAL)
        return self

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
        about="how the camera moves: pan, tilt, zoom (which also works without learning)",
        settings=replace(_QUICK, loss="debiased"),
        application=APPLICATIONS["camera"],
    ),
}
PRESETS["hybrid"] = replace(PRESETS["object"], about="camera and object together", application=APPLICATIONS["hybrid"])

# The same for models that are a stack of blocks with attention over frames and places at once, where they differ. There
# the blocks before the last third and the highest noise carry motion, and a value embedding of low rank is enough.
STACKED: dict[str, Preset] = {
    "object": replace(
        PRESETS["object"],
        settings=replace(_QUICK, steps=60, learning_rate=0.05, timesteps=(800, 999), motion_mask=0.35),
        sites="middle",
        components="v",
        integration="concatenate",
        v_axes="coarse",
        application=STACKED_OBJECT,
    ),
}


def preset(name: str, backbone: Backbone | None = None) -> Preset:
    """The preset of this name, for models of this kind; without one for a UNet.

    Raises MotionError for an unknown name, or one that there is not for such a model.
    """
    if name not in PRESETS:
        raise MotionError(f"preset is '{name}', but it must be one of {', '.join(PRESETS)}.")
    if backbone is None or not backbone.stacked:
        return PRESETS[name]
    if name not in STACKED:
        raise MotionError(
            f"The preset {name} is not made for {backbone.family} models yet: use one of {', '.join(STACKED)}."
        )
    return STACKED[name]
