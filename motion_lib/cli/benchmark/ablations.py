"""One switch of the method at a time, starting from the object preset.

Every row is the preset with one setting changed, on the same clips, prompts and seeds as `benchmark motion` and judged
the same way: components, debias while learning and in use, integration, spatial axes, sites, losses, timesteps, start
noises, and the part of sampling in which the motion acts. Tables (Markdown, CSV), every score (JSON) and a sheet per
motion are written, and the same command continues a run that was stopped.
This needs OpenCV: pip install "motion-inversion[metrics]".

examples:
  motion-inversion benchmark ablations --workers 8 --out ablations
  motion-inversion benchmark ablations --switches components "debias learning" --motions figure_eight pan"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from ...benchmark.methods import METHODS, Method
from ...benchmark.methods.spec import changed, chosen_methods
from ...diffusion.noise import START_NOISES
from ...method.embedding import COARSE_SITES, COMPONENTS, QK_AXES, V_AXES
from ...method.integration import INTEGRATIONS
from ...method.patch import DEBIAS
from ...training.losses import LOSSES
from .motion import add_case_arguments, add_run_arguments, execute

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_case_arguments(parser)
    add_run_arguments(parser)
    parser.add_argument(
        "--switches", nargs="+", choices=list(SWITCHES), default=list(SWITCHES), help="What to change (default: all)."
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="Settings to begin from instead of the preset's."
    )


def run(options: argparse.Namespace) -> None:
    methods = ablations(options.switches, chosen_methods(["object"], options.set)["object"])
    groups = {name: [row for row in methods if row.startswith(f"{name}: ")] for name in options.switches}
    everything = {"no_motion": METHODS["no_motion"], **methods}
    execute(options, everything, "Ablations of the object preset", {k: ["preset", *v] for k, v in groups.items()})


def ablations(switches: Iterable[str], preset: Method = METHODS["object"]) -> dict[str, Method]:
    """`preset`, and for each switch `<switch>: <row>` for every row that differs from the preset."""
    methods: dict[str, Method] = {"preset": preset}
    for switch in switches:
        for row, settings in SWITCHES[switch].items():
            method = preset
            for key, value in settings.items():
                method = changed(method, key, value)
            if method != preset:
                methods[f"{switch}: {row}"] = method
    return methods
