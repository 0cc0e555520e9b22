"""What of a preset Training Options lets its users change; every choice begins as the preset has it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from comfy_api.latest import io

from ..motion_lib.method.embedding import COMPONENTS, QK_AXES, V_AXES
from ..motion_lib.method.integration import INTEGRATIONS
from ..motion_lib.method.patch import DEBIAS
from ..motion_lib.training.losses import LOSSES
from ..motion_lib.training.presets import Preset, preset
from ..motion_lib.training.settings import LR_SCHEDULES, TrainingSettings
from .host.training import SAVE_MEMORY

AS_PRESET = "as preset"
PRESETS_OWN = -1.0  # of numbers that may be 0

# Fields of TrainingSettings and Preset, with what there is to choose from.
LISTS = {
    "loss": (
        LOSSES,
        "What training makes small. mse is the plain objective. debiased gives less weight to what all frames share, "
        "which is appearance. hybrid is debiased with a spatial LoRA that takes on the look and is thrown away. "
        "velocity compares the directions of change from frame to frame.",
    ),
    "components": (
        COMPONENTS,
        "Which embeddings are learned. qk is the query-key embedding alone, a small file without appearance; v is the "
        "value embedding alone; none learns nothing and is for comparison.",
    ),
    "train_debias": (
        DEBIAS,
        "The form in which the value embedding acts while it is being learned. difference keeps only what changes from "
        "frame to frame.",
    ),
    "lr_schedule": (LR_SCHEDULES, "How the learning rate falls: in a line, along a cosine, or not at all."),
    "integration": (
        INTEGRATIONS,
        "How the embedding joins the model's features: it is added, it becomes extra channels that go through a "
        "learned map, or it is multiplied.",
    ),
    "qk_axes": (
        QK_AXES,
        "Where the query-key embedding differs: nowhere, as in the paper; in the cells of a coarse grid of 4x4; or at "
        "every position.",
    ),
    "v_axes": (
        V_AXES,
        "Where the value embedding differs: at every position (2d, as in the paper), or nowhere (1d).",
    ),
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
        tooltip="How large a step of learning is; 0 takes the preset's rate. Lower it when the loss jumps or becomes "
        "infinite.",
    )
    lists = [
        io.Combo.Input(name, optional=True, options=[AS_PRESET, *known], default=AS_PRESET, tooltip=tooltip)
        for name, (known, tooltip) in LISTS.items()
    ]
    sites = io.String.Input(
        "sites",
        optional=True,
        default="",
        tooltip="The layers to learn at. Leave it empty for the preset's, or write all, coarse, coarse_up, deep (the "
        "widest layers), or a comma-separated list of names and patterns such as up_blocks.1.*",
    )
    mask = io.Float.Input(
        "motion_mask",
        optional=True,
        default=PRESETS_OWN,
        min=PRESETS_OWN,
        max=1.0,
        step=0.05,
        tooltip="Keeps the embedding to where the clip moves: what moves by at least this share of the largest "
        "movement counts in full. 0 keeps the embedding everywhere; -1 takes the preset's value.",
    )
    bias = io.Float.Input(
        "timestep_bias",
        optional=True,
        default=PRESETS_OWN,
        min=PRESETS_OWN,
        max=10.0,
        step=0.1,
        tooltip="Above 0, high noise, where motion is decided, is drawn more often. -1 takes the preset's value.",
    )
    memory = io.Combo.Input(
        "save_memory",
        optional=True,
        options=list(SAVE_MEMORY),
        default="auto",
        tooltip="on computes parts twice instead of keeping them, which takes about a third more time; auto does as "
        "much of that as the memory of the GPU requires.",
    )
    reuse = io.Boolean.Input(
        "reuse",
        optional=True,
        default=True,
        tooltip="Takes a result from disk that was trained from the same inputs; off trains anew.",
    )
    return [rate, *lists, sites, mask, bias, memory, reuse]


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
