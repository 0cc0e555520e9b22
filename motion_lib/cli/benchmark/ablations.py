"""One switch of the method at a time, starting from the object preset.

Every row is the preset with one setting changed, on the same clips, prompts and seeds as `benchmark motion` and judged
the same way: components, debias while learning and in use, integration, spatial axes, sites, losses, timesteps, start
noises, and the part of sampling in which the motion acts. Tables (Markdown, CSV), every score (JSON) and a sheet per
motion are written, and the same command continues a run that was stopped. Models of the kind of Wan have switches of
their own: rank, blocks, looks.

examples:
  motion-inversion benchmark ablations --workers 8 --out ablations
  motion-inversion benchmark ablations --switches components "debias learning" --motions figure_eight pan"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from ...benchmark.methods import METHODS, STACKED, UNET, Method
from ...benchmark.methods.spec import changed, chosen_methods
from ...diffusion.noise import START_NOISES
from ...errors import MotionError
from ...method.embedding import COARSE_SITES, COMPONENTS, QK_AXES, STACK_GROUPS, V_AXES
from ...method.integration import INTEGRATIONS
from ...method.patch import DEBIAS
from ...training.losses import LOSSES
from ...training.settings import PICTURES
from ...video.look import LOOKS
from .motion import add_case_arguments, add_run_arguments, catalogue_of, execute

RANGES = ((0, 999), (300, 999), (600, 999), (800, 999), (0, 600))  # of timesteps

BLOCKS = ("up_blocks.*", "up_blocks.1.*", "up_blocks.2.*", "up_blocks.3.*")

# Switch: rows by what they are called, each the settings that are not the preset's.
SWITCHES: dict[str, dict[str, dict[str, Any]]] = {
    "components": {name: {"components": name} for name in COMPONENTS},
    # Learned in the debiased form, or debiased only in use, as published.
    "debias learning": {name: {"train_debias": name, "debias": "vanilla"} for name in DEBIAS},
    "debias": {name: {"train_debias": "vanilla", "debias": name} for name in DEBIAS},
    "integration": {name: {"integration": name} for name in INTEGRATIONS},
    "qk axes": {name: {"qk_axes": name} for name in QK_AXES},
    "v axes": {name: {"v_axes": name} for name in V_AXES},
    "sites": {name: {"sites": name} for name in ("all", *COARSE_SITES, "deep", "down_blocks.*", *BLOCKS)},
    "loss": {name: {"loss": name} for name in LOSSES},
    "timesteps": {f"{low}-{high}": {"timesteps": (low, high)} for low, high in RANGES},
    "motion mask": {str(value): {"motion_mask": value} for value in (0.0, 0.35, 0.7)},
    "noise": {name: {"noise": name} for name in START_NOISES},
    "noise weight": {str(value): {"noise_weight": value} for value in (0.0, 0.3, 0.5, 1.0)},
    "end": {str(value): {"end": value} for value in (0.2, 0.4, 0.6, 1.0)},
    "strength v": {str(value): {"strength_v": value} for value in (0.5, 1.0, 1.5)},
}


# For models that are a stack of blocks; their preset learns values alone, of a low rank, in the middle blocks.
STACKED_SWITCHES: dict[str, dict[str, dict[str, Any]]] = {
    "components": {name: {"components": name} for name in COMPONENTS},
    "debias learning": {name: {"train_debias": name} for name in DEBIAS},
    "rank": {str(value): {"rank": value} for value in (2, 4, 8, 16, 32, 64)},
    "integration": {name: {"integration": name} for name in INTEGRATIONS},
    "v axes": {name: {"v_axes": name} for name in V_AXES},
    "sites": {name: {"sites": name} for name in STACK_GROUPS} | {f"{i}": {"sites": f"blocks.{i}"} for i in range(12)},
    "loss": {name: {"loss": name} for name in ("mse", "debiased", "velocity")},
    "timesteps": {f"{low}-{high}": {"timesteps": (low, high)} for low, high in (*RANGES, (900, 999))},
    "motion mask": SWITCHES["motion mask"],
    "learning rate": {str(value): {"learning_rate": value} for value in (0.02, 0.05, 0.1, 0.15, 0.3)},
    "steps": {str(value): {"steps": value} for value in (30, 60, 120, 240)},
    "look": {name: {"look": name} for name in LOOKS},
    "picture": {name: {"picture": name} for name in PICTURES},
    "noise weight": SWITCHES["noise weight"],
    "end": SWITCHES["end"],
    "strength v": SWITCHES["strength v"],
}
EVERY_SWITCH = tuple(dict.fromkeys((*SWITCHES, *STACKED_SWITCHES)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_case_arguments(parser)
    add_run_arguments(parser)
    parser.add_argument(
        "--switches", nargs="+", choices=EVERY_SWITCH, help="What to change (default: all that the model has)."
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="Settings to begin from instead of the preset's."
    )


def run(options: argparse.Namespace) -> None:
    catalogue = catalogue_of(options.model)
    known = STACKED_SWITCHES if catalogue is STACKED else SWITCHES
    chosen = options.switches or list(known)
    if missing := [name for name in chosen if name not in known]:
        raise MotionError(f"This model has no switch '{missing[0]}': choose from {', '.join(known)}.")
    preset = chosen_methods(["object"], options.set, catalogue.methods)["object"]
    methods = ablations(chosen, preset, known)
    groups = {name: [row for row in methods if row.startswith(f"{name}: ")] for name in chosen}
    everything = {"no_motion": METHODS["no_motion"], **methods}
    execute(options, everything, "Ablations of the object preset", {k: ["preset", *v] for k, v in groups.items()})


def ablations(
    switches: Iterable[str],
    preset: Method = UNET.methods["object"],
    known: Mapping[str, Mapping[str, Mapping[str, Any]]] = SWITCHES,
) -> dict[str, Method]:
    """`preset`, and for each switch `<switch>: <row>` for every row of `known` that differs from the preset."""
    methods: dict[str, Method] = {"preset": preset}
    for switch in switches:
        for row, settings in known[switch].items():
            method = preset
            for key, value in settings.items():
                method = changed(method, key, value)
            if method != preset:
                methods[f"{switch}: {row}"] = method
    return methods
