"""The settings of a preset that Training Options lets its users change; every choice begins as the preset has it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from comfy_api.latest import io

from ..motion_lib.help import help_of
from ..motion_lib.method.embedding import COMPONENTS, QK_AXES, V_AXES, Backbone
from ..motion_lib.method.integration import INTEGRATIONS
from ..motion_lib.method.patch import DEBIAS
from ..motion_lib.training.losses import LOSSES
from ..motion_lib.training.presets import Preset, preset
from ..motion_lib.training.settings import LR_SCHEDULES, TrainingSettings
from .host.training import SAVE_MEMORY

AS_PRESET = "as preset"
PRESETS_OWN = -1.0  # of numbers that may be 0

HELP = help_of(Preset) | help_of(TrainingSettings)

# Fields of TrainingSettings and Preset, with what there is to choose from.
LISTS = {
    "loss": LOSSES,
    "components": COMPONENTS,
    "train_debias": DEBIAS,
    "lr_schedule": LR_SCHEDULES,
    "integration": INTEGRATIONS,
    "qk_axes": QK_AXES,
    "v_axes": V_AXES,
}


@dataclass(frozen=True)
class Options:
    """What Training Options hands to the training node."""

    choices: dict[str, Any]
    save_memory: str = "auto"
    reuse: bool = True


def option_inputs() -> list[io.Input]:
    """The inputs of Training Options, all of which may be left out."""
    rate = io.Float.Input(
        "learning_rate",
        optional=True,
        default=0.0,
        min=0.0,
        max=1.0,
        step=0.0001,
        round=0.000001,
        tooltip=f"{HELP['learning_rate']} 0 takes the preset's rate.",
    )
    lists = [
        io.Combo.Input(name, optional=True, options=[AS_PRESET, *known], default=AS_PRESET, tooltip=HELP[name])
        for name, known in LISTS.items()
    ]
    sites = io.String.Input(
        "sites",
        optional=True,
        default="",
        tooltip=f"{HELP['sites']} Leave it empty for the preset's layers.",
    )
    mask = io.Float.Input(
        "motion_mask",
        optional=True,
        default=PRESETS_OWN,
        min=PRESETS_OWN,
        max=1.0,
        step=0.05,
        tooltip=f"{HELP['motion_mask']} -1 takes the preset's value.",
    )
    bias = io.Float.Input(
        "timestep_bias",
        optional=True,
        default=PRESETS_OWN,
        min=PRESETS_OWN,
        max=10.0,
        step=0.1,
        tooltip=f"{HELP['timestep_bias']} -1 takes the preset's value.",
    )
    memory = io.Combo.Input(
        "save_memory",
        optional=True,
        options=list(SAVE_MEMORY),
        default="auto",
        tooltip="on computes some parts twice instead of keeping them in memory, which takes about a third more time; "
        "auto does so only as far as the memory of the GPU requires it.",
    )
    reuse = io.Boolean.Input(
        "reuse",
        optional=True,
        default=True,
        tooltip="Reuses the result on disk if it was trained from the same inputs; off always trains again.",
    )
    return [rate, *lists, sites, mask, bias, memory, reuse]


def chosen_preset(name: str, steps: int, seed: int, choices: dict[str, Any], backbone: Backbone) -> Preset:
    """The preset for models of this kind, with what the user changed; raises MotionError for what cannot be."""
    entry = preset(name, backbone)
    changes = {key: value for key, value in choices.items() if value not in (AS_PRESET, PRESETS_OWN, "", 0.0)}
    changes |= {key: 0.0 for key in ("motion_mask", "timestep_bias") if choices.get(key) == 0}
    changes |= {"seed": seed} | ({"steps": steps} if steps else {})
    of_training = {field.name for field in fields(TrainingSettings)}
    settings = replace(entry.settings, **{key: value for key, value in changes.items() if key in of_training})
    others = {key: value.strip() for key, value in changes.items() if key not in of_training}
    return replace(entry, settings=settings, **{key: value for key, value in others.items() if value})
