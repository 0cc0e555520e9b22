"""Methods of motion transfer side by side, on clips whose true motion is known.

Rendered references move by known motions; every method gives their motion to the same prompts and seeds, and one
evaluator judges all videos. Results are written to the folder --out as they come, and the same command continues a run
that was stopped.
  table.md, table.csv   mean ± standard error of every score, seconds and bytes
  report.json           every score of every video, and how it was made
  sheets/               a picture per motion with all methods

examples:
  motion-inversion benchmark motion --quick --out quick
  motion-inversion benchmark motion --workers 8 --out full
  motion-inversion benchmark motion --motions figure_eight pan --methods object "object:learning_rate=0.1,end=0.6"
  motion-inversion benchmark motion --clip dance.mp4 --clip-prompt "a man dancing" --prompt "a robot dancing" """

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...benchmark.methods import STACKED, UNET, Catalogue, Method
from ...benchmark.pictures import PLACES, with_pictures
from ...errors import MotionError
from ...sprites.motions import MOTIONS, SEARCH_MOTIONS
from ..common import add_model_arguments, bar, pick_device, pick_dtype

if TYPE_CHECKING:
    from ...benchmark.cases import Case
    from ...benchmark.plan import Plan, Result
    from ...bundled.models import SamplingDefaults

QUICK_MOTIONS = ("figure_eight", "pan")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_case_arguments(parser)
    add_run_arguments(parser)
    parser.add_argument(
        "--methods",
        nargs="+",
        metavar="METHOD",
        help=f"Methods to compare, out of {', '.join(UNET.methods)}, or for Wan {', '.join(STACKED.methods)}; one may "
        "carry settings, as in object:steps=50,end=0.6 (default: most of them).",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="Settings for every chosen method that has them, as in learning_rate=0.1 timesteps=300-999.",
    )


def add_case_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is tried")
    group.add_argument(
        "--motions",
        nargs="+",
        metavar="MOTION",
        help=f"Motions to try, out of {', '.join(MOTIONS)} (default: all) or, to search for settings, "
        f"{', '.join(SEARCH_MOTIONS)}.",
    )
    group.add_argument("--prompts", type=int, help="How many prompts each motion has (default: 3).")
    group.add_argument("--seeds", type=int, help="How many videos each prompt has (default: 2).")
    group.add_argument(
        "--look", type=int, default=0, help="The seed that draws the words of references and prompts (default: 0)."
    )
    group.add_argument(
        "--foreign", action="store_true", help="Draw the references in a look that no bundled model was trained on."
    )
    group.add_argument(
        "--pictures",
        nargs="?",
        const=PLACES[0],
        choices=PLACES,
        help="Begin every video with a picture of its prompt, in which the object is at another place and of another "
        "size than the reference's (for image-to-video models): near, up to a tenth of the picture away, or far, a "
        "quarter (default: near).",
    )
    group.add_argument(
        "--clip", nargs="+", default=[], metavar="VIDEO", help="Your own clips instead, whose true motion is not known."
    )
    group.add_argument("--clip-prompt", nargs="+", default=[], metavar="TEXT", help="What each of these clips shows.")
    group.add_argument("--prompt", nargs="+", default=[], metavar="TEXT", help="What should move like these clips.")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path("motion_benchmark"), help="The folder to write to (default: motion_benchmark)."
    )
    parser.add_argument("--quick", action="store_true", help="Try few motions, methods and sampling steps, for a CPU.")
    halves = parser.add_argument_group("on two machines").add_mutually_exclusive_group()
    halves.add_argument(
        "--make-only",
        dest="part",
        action="store_const",
        const="make",
        default="all",
        help="Make the videos and keep their latents in the folder --out, which needs no OpenCV.",
    )
    halves.add_argument(
        "--judge-only",
        dest="part",
        action="store_const",
        const="judge",
        default="all",
        help="Judge the videos that are kept there; all other options must be as they were.",
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="How many processes run at once; 8 suit one GPU (default: 1)."
    )
    parser.add_argument(
        "--sampling-steps",
        type=int,
        help="How many steps sampling takes (default: as the model says; 10 with --quick).",
    )
    parser.add_argument("--guidance", type=float, help="How closely to follow the prompt (default: as the model says).")
    parser.add_argument(
        "--tracker", default="lucas_kanade", help="lucas_kanade, or cotracker:FILE (default: lucas_kanade)."
    )
    parser.add_argument(
        "--text-model", metavar="FOLDER", help="A CLIP model, which adds the similarity of text and frames."
    )
    add_model_arguments(parser)
    parser.set_defaults(dtype="float32")


def run(options: argparse.Namespace) -> None:
    from ...benchmark.methods.spec import chosen_methods

    catalogue = catalogue_of(options.model)
    names = options.methods or methods_of(options, catalogue)
    execute(options, chosen_methods(names, options.set, catalogue.methods), "Motion benchmark")


def catalogue_of(model: str) -> Catalogue:
    """The methods that there are for a model, which is looked at without its weights."""
    from ...backbones import load_model

    return STACKED if load_model(model, "meta").denoiser.backbone.stacked else UNET


def methods_of(options: argparse.Namespace, catalogue: Catalogue) -> tuple[str, ...]:
    """Those that are compared when none are named."""
    if options.quick:
        return catalogue.quick
    return tuple(name for name in catalogue.usual if not (options.clip and name == "truth"))


def execute(
    options: argparse.Namespace,
    methods: dict[str, Method],
    title: str,
    groups: dict[str, list[str]] | None = None,
    plan: Plan | None = None,
) -> tuple[Plan, list[Result]]:
    """Run methods on the cases that the options ask for, or this plan, and write and print what was found, by groups of
    methods or all in one table. Returns plan and results as well."""
    from ...benchmark.report import write_report
    from ...benchmark.runner import run as run_plan

    plan = plan or plan_of(options, methods)
    progress = bar(1, "Benchmark")

    def on_done(done: int, total: int) -> None:
        progress.total = total
        progress.update(done - progress.n)

    try:
        results = run_plan(plan, options.workers, on_done)
    finally:
        progress.close()
    if plan.part == "make":
        print(f"The videos are in {plan.out}: the same command with --judge-only judges them.")
        return plan, results
    command = "motion-inversion " + shlex.join(sys.argv[1:])
    print(write_report(plan, results, command, title, groups or {"": list(methods)}))
    print(f"Look at {plan.out / 'sheets'}; every score is in {plan.out / 'report.json'}.")
    return plan, results


def plan_of(options: argparse.Namespace, methods: dict[str, Method]) -> Plan:
    import torch

    from ...backbones import SamplingDefaults
    from ...benchmark.plan import Plan, made_with
    from ...bundled.models import BUNDLED

    if options.part == "judge":
        device, dtype = made_with(options.out)
    else:
        device = str(pick_device(options.device))
        dtype = pick_dtype(options.dtype, torch.device(device))
    defaults = BUNDLED[options.model][1] if options.model in BUNDLED else SamplingDefaults()
    steps = options.sampling_steps or (10 if options.quick else defaults.steps)
    return Plan(
        cases=tuple(_cases(options, defaults)),
        methods=methods,
        out=options.out,
        seeds=options.seeds or 2,
        steps=steps,
        guidance=defaults.guidance if options.guidance is None else options.guidance,
        model=options.model,
        device=device,
        dtype=dtype,
        part=options.part,
        tracker=options.tracker,
        text_model=options.text_model,
    )


def _cases(options: argparse.Namespace, defaults: SamplingDefaults) -> list[Case]:
    from ...benchmark.cases import clip_cases, foreign_case, rendered_case

    if options.clip:
        if len(options.clip) != len(options.clip_prompt) or not options.prompt:
            raise MotionError(
                "Give one --clip-prompt for each --clip, which says what it shows, and at least one --prompt."
            )
        from ...video import ClipOptions, read_clip

        size = ClipOptions(frame_load_cap=defaults.frames, width=defaults.width, height=defaults.height)
        clips = [read_clip(name, size, min_frames=defaults.frames).frames for name in options.clip]
        names = [Path(name).stem for name in options.clip]
        return clip_cases(zip(names, clips, options.clip_prompt, strict=True), options.prompt)
    prompts = options.prompts or (1 if options.quick else 3)
    side = min(defaults.width, defaults.height)
    motions = options.motions or (QUICK_MOTIONS if options.quick else list(MOTIONS))
    draw = foreign_case if options.foreign else rendered_case
    cases = [draw(motion, prompts, defaults.frames, side, options.look) for motion in motions]
    return [with_pictures(case, options.pictures) for case in cases] if options.pictures else cases
