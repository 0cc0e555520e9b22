"""Methods for models that are a stack of blocks with attention over frames and places at once, such as Wan."""

from __future__ import annotations

from dataclasses import replace

from ...sprites.stand_ins import STAND_INS
from ...training.presets import STACKED, Preset
from ...training.settings import TrainingSettings
from .base import Method
from .carried_noise import CarriedNoise
from .clean_guidance import CleanGuidance
from .joint_lora import JointLoRA
from .motion_inversion import MotionInversion
from .static_values import StaticValues
from .untrained import NoiseOnly, NoMotion, RenderedTruth

OBJECT = STACKED["object"]

PORTED = Preset(
    about="Motion Inversion as others brought it to such models",
    settings=TrainingSettings(steps=400, learning_rate=2e-2, timesteps=(0, 999)),
    sites="all",
    application=replace(OBJECT.application, debias="vanilla", end=1.0),
)

# As people train them on one clip: over all of noise, with the debiased loss.
LORA = TrainingSettings(steps=300, learning_rate=1e-3, loss="debiased", timesteps=(0, 999))

STACKED_METHODS: dict[str, Method] = {
    "truth": RenderedTruth(),
    "no_motion": NoMotion(),
    "noise_blend": NoiseOnly(noise="blend"),
    "noise_inversion": NoiseOnly(noise="inversion", noise_weight=1.0),
    "noise_carried": CarriedNoise(),
    "lora": JointLoRA(LORA),
    "motion_lora": JointLoRA(LORA, layers="motion", rank=64),
    "ported": StaticValues(PORTED),
    "clean_guidance": CleanGuidance(),
    "object": MotionInversion(OBJECT),
    "object_all_along": MotionInversion(replace(OBJECT, application=replace(OBJECT.application, end=1.0))),
    "object_placed": MotionInversion(OBJECT, to_object=True),
    "object_flat": MotionInversion(OBJECT, look="flat_object"),
    "object_neutral": MotionInversion(OBJECT, look="neutral_background"),
    "object_stand_ins": MotionInversion(OBJECT.learned_from(STAND_INS), look="stand_ins"),
    "object_redrawn": MotionInversion(OBJECT, look="redrawn"),
    "qk_only": MotionInversion(replace(OBJECT, components="qk", integration="add")),
    "both": MotionInversion(replace(OBJECT, components="both")),
}

USUAL_STACKED = tuple(STACKED_METHODS)
QUICK_STACKED = ("truth", "no_motion", "noise_blend", "object")
