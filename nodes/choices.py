"""What of a preset the training node lets its users change; every choice begins as the preset has it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from comfy_api.latest import io

from ..motion_lib.embedding import COMPONENTS, QK_AXES, V_AXES
from ..motion_lib.integration import INTEGRATIONS
from ..motion_lib.losses import LOSSES
from ..motion_lib.patch import DEBIAS
from ..motion_lib.presets import Preset, preset
from ..motion_lib.settings import LR_SCHEDULES, TrainingSettings
from .schema import advanced

AS_PRESET = "as preset"
PRESETS_OWN = -1.0  # of numbers that may be 0

# Fields of TrainingSettings and Preset, with what there is to choose from.
LISTS = {
    "loss": (
        LOSSES,
        "mse: the plain objective; debiased: what all frames share, appearance, counts less; hybrid: debiased, with a "
        "spatial LoRA that takes on the look and is thrown away; velocity: directions of change from frame to frame.",
    ),
    "components": (
        COMPONENTS,
        "qk: only the query-key embedding, a small file without appearance; v: only the value embedding; both: both; "
        "none: nothing, for comparison.",
    ),
    "train_debias": (
        DEBIAS,
        "The form in which the value embedding already acts while it is learned: difference holds only what changes "
        "from frame to frame.",
    ),
    "lr_schedule": (LR_SCHEDULES, "How the learning rate falls: linear, along a cosine, or not at all."),
    "integration": (
        INTEGRATIONS,
        "How the embedding joins the model's features: added, as extra channels through a learned map, or multiplied.",
    ),
    "qk_axes": (
        QK_AXES,
        "Places of the query-key embedding: none, as published; a coarse grid of 4x4; or every position.",
    ),
    "v_axes": (V_AXES, "Places of the value embedding: every position (2d, as published), or none (1d)."),
}


def choice_inputs() -> list[io.Input]:
    """The advanced inputs of the training node."""
    rate = advanced(
        io.Float,
        "learning_rate",
        default=0.0,
        min=0.0,
        max=1.0,
        step=0.0001,
        round=0.000001,
        tooltip="0 takes the preset's. Lower it when the loss jumps or becomes infinite.",
    )
    lists = [
        advanced(io.Combo, name, options=[AS_PRESET, *known], default=AS_PRESET, tooltip=tooltip)
        for name, (known, tooltip) in LISTS.items()
    ]
    sites = advanced(
        io.String,
        "sites",
        default="",
        tooltip="Layers to learn at: empty for the preset's, all, coarse, coarse_up, deep for the widest, or a "
        "comma-separated list of names and patterns such as up_blocks.1.*",
    )
    mask = advanced(
        io.Float,
        "motion_mask",
        default=PRESETS_OWN,
        min=PRESETS_OWN,
        max=1.0,
        step=0.05,
        tooltip="Keep the embedding to where the clip moves: the share of its largest movement that counts in full; 0 "
        "keeps it everywhere, -1 takes the preset's.",
    )
    bias = advanced(
        io.Float,
        "timestep_bias",
        default=PRESETS_OWN,
        min=PRESETS_OWN,
        max=10.0,
        step=0.1,
        tooltip="Above 0, higher noise is drawn more often; motion is decided there. -1 takes the preset's.",
    )
    return [rate, *lists, sites, mask, bias]


def chosen_preset(name: str, steps: int, seed: int, choices: dict[str, Any]) -> Preset:
    """The preset with what the user changed; raises MotionError for what cannot be."""
    entry = preset(name)
    changes = {key: value for key, value in choices.items() if value not in (AS_PRESET, PRESETS_OWN, "", 0.0)}
    changes |= {key: 0.0 for key in ("motion_mask", "timestep_bias") if choices.get(key) == 0}
    changes |= {"seed": seed} | ({"steps": steps} if steps else {})
    of_training = {field.name for field in fields(TrainingSettings)}
    settings = replace(entry.settings, **{key: value for key, value in changes.items() if key in of_training})
    others = {key: value.strip() for key, value in changes.items() if key not in of_training}
    return replace(entry, settings=settings, **{key: value for key, value in others.items() if value})
