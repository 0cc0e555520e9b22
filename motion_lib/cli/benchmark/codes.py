"""What one pass reads of a motion, and what that is worth.

First, what codes say of clips of the sprite world that training never drew: linear probes of path, size, angle and
camera, of the look that they should not say, of clips played backwards, and the finding of a motion by a clip in
another look and by words. Second, what is read of clips in looks that no bundled model knows. Then videos with the
motion of the benchmark's clips, judged as `benchmark motion` judges them: read in one pass, trained further from there
for some steps, trained from nothing for as many, and by the preset. Last, the object of one clip with the camera of
another.
  probes.json   what codes say
  looks.json    what is read of clips in strange looks
  table.md, report.json, sheets/             videos
  crossed/table.md, report.json, sheets/     videos of two clips' motions
The same command continues a run that was stopped.

examples:
  motion-inversion benchmark codes --quick --out quick
  motion-inversion benchmark codes --workers 8 --out codes
  motion-inversion benchmark codes --foreign --groups 0 --steps 30
  motion-inversion benchmark codes --codes mine.safetensors --out mine"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...benchmark.methods import METHODS, Method
from ...benchmark.methods.spec import chosen_methods
from ...errors import MotionError
from ...files.atomic import replacing
from ..common import working
from .motion import QUICK_MOTIONS, add_case_arguments, add_run_arguments, execute, plan_of

if TYPE_CHECKING:
    from ...benchmark.cases import Case

STEPS, QUICK_STEPS = (10, 20, 30, 40), (10,)
GROUPS, QUICK_GROUPS = 128, 8  # of eight clips
FILES, QUICK_FILES = 200, 16
LOOKS, QUICK_LOOKS = 4, 1
NAMES = {
    "path": "R² of the path",
    "scale": "R² of the size",
    "angle": "R² of the angle, of shapes that show it",
    "camera": "R² of the camera, where the background shows it",
    "shape": "shape told from the codes, above chance",
    "colour": "colour, above chance",
    "tone": "tone, above chance",
    "texture": "texture, above chance",
    "reversed": "cosine of codes forward and backward",
    "found_by_clip": "the same motion in another look found first",
    "found_by_clip_where_seen": "the same, where the background shows the camera",
    "found_by_words": "found by its words among the first five",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_case_arguments(parser)
    add_run_arguments(parser)
    parser.add_argument(
        "--codes", default="", metavar="FILE", help="The encoder to measure (default: the one that comes with --model)."
    )
    parser.add_argument(
        "--steps",
        type=int,
        nargs="*",
        help="For how many steps to train, from what was read and from nothing; without a number, nothing is trained "
        "(default: 10 20 30 40; 10 with --quick).",
    )
    parser.add_argument(
        "--groups",
        type=int,
        help="Groups of eight clips that the probes learn from; half as many are tried, and 0 leaves the probes out "
        f"(default: {GROUPS}; {QUICK_GROUPS} with --quick).",
    )
    parser.add_argument(
        "--looks",
        type=int,
        help="In how many strange looks each motion is read; 0 leaves them out "
        f"(default: {LOOKS}; {QUICK_LOOKS} with --quick).",
    )


def run(options: argparse.Namespace) -> None:
    if any(steps < 1 for steps in options.steps or ()):
        raise MotionError(f"--steps is {min(options.steps)}, but each number of steps must be at least 1.")
    groups = (QUICK_GROUPS if options.quick else GROUPS) if options.groups is None else options.groups
    if groups < 0 or groups == 1:
        raise MotionError(f"--groups is {groups}, but it must be 0 or at least 2.")
    if groups and options.part != "judge":
        print(probe_table(probes(options, groups)), flush=True)
    looks = (QUICK_LOOKS if options.quick else LOOKS) if options.looks is None else options.looks
    if looks < 0:
        raise MotionError(f"--looks is {looks}, but it must be at least 0.")
    if looks and options.part != "judge":
        print(strange_looks(options, looks), flush=True)
    steps = (QUICK_STEPS if options.quick else STEPS) if options.steps is None else options.steps
    execute(options, methods(options.codes, steps), "Motion codes")
    if crossed := [] if options.clip or options.foreign else pairs(options):
        two = methods(options.codes, ())
        if steps:
            two["hybrid"] = METHODS["hybrid"]  # of the two together, which codes are not shown
        plan = replace(plan_of(options, two), cases=tuple(crossed), out=options.out / "crossed")
        execute(options, two, "The object of one clip, the camera of another", plan=plan)


def methods(codes: str, steps: tuple[int, ...] | list[int]) -> dict[str, Method]:
    """By what the table calls them; object takes as many steps as the preset."""
    found: dict[str, Method] = {"no_motion": METHODS["no_motion"]}
    found["one_pass"] = replace(METHODS["one_pass"], codes=codes)  # pyright: ignore
    for count in steps:
        (begun,) = chosen_methods([f"from_codes:steps={count}"]).values()
        found[f"{count} steps from codes"] = replace(begun, codes=codes)  # pyright: ignore
        (found[f"{count} steps from nothing"],) = chosen_methods([f"object:steps={count}"]).values()
    if steps:
        found["object"] = METHODS["object"]
    return found


def pairs(options: argparse.Namespace) -> list[Case]:
    """Objects under other clips' cameras, of those motions that were asked for."""
    from ...benchmark.cases import CROSSED, crossed_case
    from ...bundled.models import BUNDLED, SamplingDefaults

    defaults = BUNDLED[options.model][1] if options.model in BUNDLED else SamplingDefaults()
    prompts, side = options.prompts or (1 if options.quick else 3), min(defaults.width, defaults.height)
    asked = options.motions or (QUICK_MOTIONS if options.quick else list(CROSSED))
    return [
        crossed_case(motion, CROSSED[motion], prompts, defaults.frames, side, options.look)
        for motion in asked
        if motion in CROSSED
    ]


def probes(options: argparse.Namespace, groups: int) -> dict[str, Any]:
    """What the codes say, as it was found before if the same was asked. Raises MotionError where no encoder fits."""
    from ...backbones import load_model
    from ...benchmark.methods.one_pass import reader_for
    from ...benchmark.probes import probe
    from ...sprites.groups.clips import GroupMaker
    from ..common import pick_device

    model = load_model(options.model, pick_device(options.device))
    reader = reader_for(model, options.codes)
    files, file = QUICK_FILES if options.quick else FILES, Path(options.out) / "probes.json"
    made_by = [reader.name, groups, files]
    if file.is_file() and (kept := json.loads(file.read_text(encoding="utf-8")))["made_by"] == made_by:
        return kept
    with working("Reading clips"):
        found = probe(reader.codes, GroupMaker(model, reader.needs_latents), groups, files)
    found["made_by"] = made_by
    with replacing(file) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def strange_looks(options: argparse.Namespace, looks: int) -> str:
    """A table of what is read of clips in strange looks; raises MotionError where no encoder fits."""
    from ...backbones import load_model
    from ...benchmark.methods.one_pass import reader_for
    from ...benchmark.strange import markdown, readings
    from ...sprites.motions import MOTIONS
    from ..common import pick_device

    model = load_model(options.model, pick_device(options.device))
    motions = options.motions or (QUICK_MOTIONS if options.quick else MOTIONS)
    with working("Reading clips in strange looks"):
        rows = readings(reader_for(model, options.codes), model, motions, looks)
    with replacing(Path(options.out) / "looks.json") as temporary:
        temporary.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return markdown(rows)


def probe_table(found: dict[str, Any]) -> str:
    values = {**found["r2"], **found["look"], **found}
    rows = [f"| {text} | {values[name]:.3f} |" for name, text in NAMES.items() if name in values]
    return "\n".join(["| codes of clips that training never drew | |", "|---|---|", *rows, ""])
