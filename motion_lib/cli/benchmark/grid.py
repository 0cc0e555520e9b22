"""How long to learn, how strong and how much inverted noise: a sheet to choose by.

This learns a motion for each number of steps, and makes the same video at every strength γ of the value embedding and
every share of inverted noise. It writes grid_<motion>.png (lines: steps and γ; across: noise), table.md, table.csv and
report.json.

examples:
  motion-inversion benchmark grid --motions figure_eight
  motion-inversion benchmark grid --clip dance.mp4 --clip-prompt "a man dancing" --prompt "a robot dancing" """

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...benchmark.methods import METHODS, Method
from ...benchmark.methods.motion_inversion import MotionInversion
from ...training.presets import PRESETS, preset
from .motion import add_case_arguments, add_run_arguments, execute

if TYPE_CHECKING:
    from PIL import Image

    from ...benchmark.cases import Case
    from ...benchmark.plan import Plan

SHOWN = ("path", "camera", "size", "turn", "fidelity", "caption", "leak")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_case_arguments(parser)
    add_run_arguments(parser)
    parser.set_defaults(prompts=1, seeds=1, out=Path("motion_grid"))
    parser.add_argument(
        "--preset", default="object", choices=list(PRESETS), help="The preset to vary (default: object)."
    )
    parser.add_argument(
        "--steps",
        type=int,
        nargs="+",
        default=[50, 100, 150],
        help="Numbers of training steps to try (default: 50 100 150).",
    )
    parser.add_argument(
        "--strengths",
        type=float,
        nargs="+",
        default=[0.5, 1.0, 1.5],
        help="Strengths γ of the value embedding to try (default: 0.5 1 1.5).",
    )
    parser.add_argument(
        "--noise-weights",
        type=float,
        nargs="+",
        default=[0.0, 0.3, 0.6],
        help="Shares of inverted noise to try (default: 0 0.3 0.6).",
    )


def run(options: argparse.Namespace) -> None:
    from ...backbones import load_model
    from ...files.atomic import replacing

    chosen = preset(options.preset, load_model(options.model, "meta").denoiser.backbone)
    lines = {
        f"{steps} steps, γ {strength:g}": {
            f"{steps} steps, γ {strength:g}, noise {weight:g}": MotionInversion(
                replace(
                    chosen,
                    settings=replace(chosen.settings, steps=steps),
                    application=replace(chosen.application, strength_v=strength, noise_weight=weight),
                )
            )
            for weight in options.noise_weights
        }
        for steps, strength in itertools.product(options.steps, options.strengths)
    }
    methods: dict[str, Method] = {"no_motion": METHODS["no_motion"]}
    for line in lines.values():
        methods |= line
    plan, results = execute(options, methods, f"Steps, strength and noise of the preset {options.preset}")
    for case in plan.cases:
        with replacing(plan.out / f"grid_{case.name}.png") as temporary:
            picture(plan, case, results, {name: list(line) for name, line in lines.items()}).save(temporary)


def picture(
    plan: Plan, case: Case, results: Sequence[Mapping[str, Any]], lines: Mapping[str, Sequence[str]]
) -> Image.Image:
    """The first prompt's videos, a row for each of `lines`, whose methods stand beside each other."""
    import torch

    from ...benchmark.sheets import FRAMES, SCALE, read_strip
    from ...benchmark.table import lines as table
    from ...video.sheet import contact_sheet

    scores = {line.method: line.scores for line in table(results, list(plan.methods), [case.name])}
    rows, labels = [], []
    for name, methods in lines.items():
        strips = [read_strip(plan.strip_file(case, method), case.frames.shape[2]) for method in methods]
        rows.append(torch.cat([strip[: min(FRAMES, len(case.frames))] for strip in strips]))
        known = [column for column in SHOWN if scores[methods[0]][column].count]
        values = (f"{c} {' / '.join(f'{scores[m][c].value:.2f}' for m in methods)}" for c in known)
        labels.append(f"{name}:  {',  '.join(values)}")
    return contact_sheet(rows, labels, max(map(len, rows)), SCALE)
