"""Methods of motion transfer, by name, for UNets; those for stacks of blocks are in stacked.py. A method is one frozen
dataclass (see base.Method) and a line in METHODS there or here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...codes.from_clip import STEPS_FROM_CODES
from ...diffusion.noise import START_NOISES
from ...method.patch import DEBIAS
from ...training.presets import PRESETS, Preset
from ...training.settings import TrainingSettings
from .base import Method, Reference, Request
from .feature_guidance import FeatureGuidance
from .motion_inversion import MotionInversion
from .one_pass import FromCodes, OnePass
from .stacked import QUICK_STACKED, STACKED_METHODS, USUAL_STACKED
from .temporal_finetuning import TemporalFinetuning
from .temporal_lora import TemporalLoRA
from .untrained import CameraOnly, NoiseOnly, NoMotion, RenderedTruth

OBJECT = PRESETS["object"]

PUBLISHED = Preset(
    about="Motion Inversion with the settings of its released configuration",
    settings=TrainingSettings(steps=400, learning_rate=2e-2),
    sites="all",
)

# As many steps as the presets take, where motion is decided.
QUICK = TrainingSettings(steps=150, timesteps=(400, 999))

METHODS: dict[str, Method] = {
    "truth": RenderedTruth(),
    "no_motion": NoMotion(),
    **{f"noise_{name}": NoiseOnly(noise=name) for name in START_NOISES},
    "camera_path": CameraOnly(),
    "published": MotionInversion(PUBLISHED),
    "published_camera": MotionInversion(
        replace(PUBLISHED, components="qk", settings=replace(PUBLISHED.settings, steps=200, loss="debiased"))
    ),
    **{name: MotionInversion(preset) for name, preset in PRESETS.items()},
    "one_pass": OnePass(),
    "from_codes": FromCodes(replace(OBJECT, settings=replace(OBJECT.settings, steps=STEPS_FROM_CODES))),
    "qk_only": MotionInversion(replace(OBJECT, components="qk")),
    "v_only": MotionInversion(replace(OBJECT, components="v")),
    **{
        f"debias_{name}": MotionInversion(replace(OBJECT, settings=replace(OBJECT.settings, train_debias=name)))
        for name in DEBIAS
        if name != OBJECT.settings.train_debias
    },
    # How the settings of the three that follow were found is told in docs/benchmark.md.
    "temporal_lora": TemporalLoRA(replace(QUICK, learning_rate=3e-3, loss="debiased"), noise_weight=1.0),
    "temporal_finetuning": TemporalFinetuning(replace(QUICK, learning_rate=3e-3, loss="velocity")),
    "feature_guidance": FeatureGuidance(rate=0.06, noise="blend"),
}

# What the table compares when nothing else is asked for: the ceiling, what comes without learning, the method by its
# parts and presets, and the others' methods.
USUAL = (
    "truth",
    "no_motion",
    *(f"noise_{name}" for name in START_NOISES),
    "camera_path",
    "published",
    "published_camera",
    *PRESETS,
    "one_pass",
    "from_codes",
    "qk_only",
    "v_only",
    *(f"debias_{name}" for name in DEBIAS if name != OBJECT.settings.train_debias),
    "temporal_lora",
    "temporal_finetuning",
    "feature_guidance",
)

# What is compared with few motions and steps, on a CPU.
QUICK_METHODS = ("truth", "no_motion", "noise_blend", "camera_path", "object:steps=60,noise_weight=0.3")


@dataclass(frozen=True)
class Catalogue:
    """What there is for one kind of model. usual, quick: what is compared when nothing else is asked for."""

    methods: dict[str, Method]
    usual: tuple[str, ...]
    quick: tuple[str, ...]


UNET = Catalogue(METHODS, USUAL, QUICK_METHODS)
STACKED = Catalogue(STACKED_METHODS, USUAL_STACKED, QUICK_STACKED)

__all__ = ["METHODS", "OBJECT", "STACKED", "UNET", "USUAL", "Catalogue", "Method", "Reference", "Request"]
