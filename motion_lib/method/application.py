"""How motions are applied: what a preset says of it, and what an embedding that says nothing is taken to mean."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from .embedding import MotionEmbedding
from .patch import MotionPatch
from .records import Advice

PATCH = ("strength_qk", "strength_v", "debias", "start", "end")  # what of it a MotionPatch holds
SAMPLING = ("noise_weight", "camera_end", "objects")  # what else it says about making videos


@dataclass(frozen=True)
class Application:
    """How a motion is applied (strength_qk to end, which are explained in MotionPatch), and how videos are sampled with
    it."""

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

    def patch(self, embedding: MotionEmbedding, **overrides: Any) -> MotionPatch:
        """The embedding, applied like this; overrides are fields of MotionPatch, of which None changes nothing."""
        usual = {name: getattr(self, name) for name in PATCH}
        return MotionPatch(embedding, **usual | {k: v for k, v in overrides.items() if v is not None})

    def heeding(self, advice: Advice) -> Application:
        """The same, except for what the advice says."""
        return replace(self, **advice.said())

    def advice(self) -> Advice:
        """All of it, for an embedding's file."""
        return Advice(**asdict(self))


_OBJECT = Application(
    debias="vanilla",  # it is learned debiased
    end=0.4,  # the path is decided early, the look late: there the prompt is left alone
    noise_weight=0.1,  # more of it makes videos of different seeds alike
)

# In models that are a stack of blocks, where fresh noise does. Longer, and textures and shapes come over as well.
STACKED_OBJECT = Application(debias="vanilla", end=0.4, noise_weight=0.0)

# Learned from several clips that share only a motion, it carries none of their looks, and may act longer.
STACKED_OBJECT_OF_SEVERAL = replace(STACKED_OBJECT, end=0.5)

# By the name of the preset that an embedding was learned with; how it learns stands in training/presets.py.
APPLICATIONS: dict[str, Application] = {
    "object": _OBJECT,
    # The camera's path does most, early in sampling the embedding helps a little; more of it costs words.
    "camera": Application(debias="vanilla", strength_v=0.5, end=0.4, noise_weight=0.0, camera_end=1.0),
    "hybrid": replace(_OBJECT, noise_weight=0.3, camera_end=1.0, objects=0.5),
}


def usual_patch(embedding: MotionEmbedding, strength: float = 1.0) -> MotionPatch:
    """The embedding as its file says to apply it, or else as its preset does, with both strengths multiplied; of an
    unknown preset, as `object` does.

    Raises MotionError when the two contradict each other, as with an end that is before the preset's start.
    """
    known = STACKED_OBJECT if embedding.backbone.stacked else APPLICATIONS.get(embedding.origin.preset or "", _OBJECT)
    usual = known.heeding(embedding.advice)
    return usual.patch(embedding, strength_qk=strength * usual.strength_qk, strength_v=strength * usual.strength_v)
