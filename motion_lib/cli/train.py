"""Learn the motion of a video, or of every video in a folder, and write it to a small file.

Describe what the video shows with --prompt, so that the embedding need not learn it: what the prompt says about the
look does not go into the motion. Several videos of one motion take one --prompt each. Ctrl-C keeps what was learned,
and --resume continues from there. With --keep-best the run is judged along the way, and the best embedding is kept
instead of the last.

A folder of videos becomes a folder of files, --out; a folder of images is one video. Say what each video shows in a
text file with its name beside it (dance.mp4, dance.txt), or in --prompts. The same command, run again, continues where
it stopped. Processes on one or several machines can share the videos of a folder: start the same command more than
once, or with accelerate launch --multi_gpu -m motion_lib train FOLDER …

examples:
  motion-inversion train dance.mp4 --prompt "a man dancing" --model zeroscope_v2_576w --out dance.safetensors
  motion-inversion train clip.mp4 --prompt "a red circle on a grey plain background" --steps 100 --out
  clip.safetensors
  motion-inversion train a.mp4 b.mp4 --prompt "a red circle on a grey plain background" --prompt "a blue star on a beige
  striped background" --keep-best "a green heart on a white dotted background" --every 25 --out best.safetensors
  motion-inversion train clips --prompts clips/prompts.csv --model zeroscope_v2_576w --out motions"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..backbones.accelerate.training_modes import MODES
from ..codes.from_clip import STEPS_FROM_CODES
from ..errors import MotionError
from ..files.claims import claimed
from ..help import help_of
from ..method.embedding import COMPONENTS, QK_AXES, V_AXES
from ..method.integration import INTEGRATIONS
from ..method.patch import DEBIAS, EXPERTS
from ..training.losses import LOSSES
from ..training.presets import PRESETS, Preset
from ..training.settings import LR_SCHEDULES, PICTURES, TrainingSettings
from ..video.look import LOOKS_TO_LEARN_FROM, STAND_INS, look_help
from .common import add_clip_arguments, add_json, add_model_arguments, add_seed, load, show
from .library import clips_in, learn_all
from .task import EVERY, check_places, learn_one, task_of

HELP = help_of(Preset) | help_of(TrainingSettings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "video",
        metavar="VIDEO",
        nargs="+",
        help="A video (mp4, webm, gif, webp, …), a folder of images, or a folder of such videos.",
    )
    parser.add_argument(
        "--prompt",
        action="append",
        help="What the video shows, in words that the model knows; given once for each video. --look stand_ins needs "
        "none.",
    )
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE",
        help="What the videos of a folder show: CSV with the columns file and prompt, or JSON "
        '{"dance.mp4": "a man dancing", …}.',
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="The .safetensors file to write or, for a folder of videos, the folder."
    )
    parser.add_argument(
        "--mask", metavar="IMAGE", help="Learn only where this image or video is bright; it is resized like the video."
    )
    parser.add_argument(
        "--look", default="as_it_is", choices=list(LOOKS_TO_LEARN_FROM), help=look_help(LOOKS_TO_LEARN_FROM)
    )
    parser.add_argument(
        "--look-mask",
        metavar="IMAGE",
        help="What moves, for --look: bright in this image or video, which is resized like the video.",
    )
    parser.add_argument(
        "--look-preview", type=Path, metavar="PNG", help="Write a sheet of the clip as it is and as it is learned from."
    )
    parser.add_argument(
        "--start-from-codes",
        nargs="?",
        const="",
        metavar="CODES",
        help="Begin with what one pass reads of the clip (see the command read) instead of nothing, and take "
        f"{STEPS_FROM_CODES} steps; by the encoder in this file, or the one that comes with sprite_t2v.",
    )
    parser.add_argument("--resume", action="store_true", help="Continue a run that was stopped.")
    add_model_arguments(parser)
    parser.add_argument(
        "--mode",
        default="auto",
        choices=MODES,
        help="How training runs: fast, low_memory, or plain, which is how the model's library runs it; AnimateDiff and "
        "Wan have no fast one. auto takes the fastest mode that the GPU's memory allows, and plain on a CPU (default: "
        "auto).",
    )
    add_training_arguments(parser)
    add_keeping_arguments(parser)
    add_clip_arguments(parser)
    add_seed(parser)
    add_json(parser)


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training (each option overrides the preset)")
    kinds = "; ".join(f"{name}: {entry.about}" for name, entry in PRESETS.items())
    group.add_argument(
        "--preset", default="object", choices=list(PRESETS), help=f"The kind of motion. {kinds} (default: object)."
    )
    group.add_argument("--steps", type=int, help=HELP["steps"])
    group.add_argument("--learning-rate", type=float, help=HELP["learning_rate"])
    group.add_argument("--lr-schedule", choices=list(LR_SCHEDULES), help=HELP["lr_schedule"])
    group.add_argument("--clip", type=float, metavar="NORM", help=HELP["clip"])
    group.add_argument("--loss", choices=list(LOSSES), help=HELP["loss"])
    group.add_argument(
        "--timesteps",
        type=int,
        nargs=2,
        metavar=("LOWEST", "HIGHEST"),
        help=HELP["timesteps"],
    )
    group.add_argument(
        "--timestep-bias",
        type=float,
        metavar="POWER",
        help=HELP["timestep_bias"],
    )
    group.add_argument("--train-debias", choices=list(DEBIAS), help=HELP["train_debias"])
    group.add_argument(
        "--motion-mask",
        type=float,
        metavar="SHARE",
        help=HELP["motion_mask"],
    )
    group.add_argument("--expert", choices=EXPERTS, help=HELP["expert"])
    group.add_argument("--picture", choices=PICTURES, help=HELP["picture"])
    group.add_argument("--sites", help=HELP["sites"])
    group.add_argument("--components", choices=list(COMPONENTS), help=HELP["components"])
    group.add_argument("--integration", choices=list(INTEGRATIONS), help=HELP["integration"])
    group.add_argument("--qk-axes", choices=list(QK_AXES), help=HELP["qk_axes"])
    group.add_argument("--v-axes", choices=list(V_AXES), help=HELP["v_axes"])


def add_keeping_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("candidates along the way")
    group.add_argument(
        "--every", type=int, metavar="STEPS", help="Write the embedding so far each time this many steps are done."
    )
    group.add_argument(
        "--keep-best",
        nargs="+",
        metavar="PROMPT",
        help="Sample these prompts with every candidate, and keep the candidate whose motion fidelity minus appearance "
        f"leak is highest (every {EVERY} steps if --every is not given).",
    )
    group.add_argument(
        "--patience",
        type=int,
        default=0,
        metavar="N",
        help="Stop after N candidates in a row without a better one; 0 never stops early.",
    )


def run(options: argparse.Namespace) -> None:
    clips = clips_in(Path(options.video[0])) if len(options.video) == 1 else []
    if clips and options.look_preview:
        raise MotionError("--look-preview is for one motion, not for a folder of videos: leave it out.")
    if clips:
        learn_all(options, clips)
        return
    if not options.prompt and options.look == STAND_INS:  # which say themselves what they show
        options.prompt = [""] * len(options.video)
    if not options.prompt:
        raise MotionError("Say with --prompt what the video shows.")
    if len(options.prompt) != len(options.video):
        raise MotionError(
            f"--prompt was given {len(options.prompt)} times for {len(options.video)} videos: give it once for each."
        )
    check_places(options.out)
    with claimed(options.out):
        model = load(options)
        task = task_of(options, model, options.video, options.prompt)
        summary, steps = learn_one(options, model, task, options.out, options.resume)
    best = f", of which {summary['details']['trained_steps']} are kept" if options.keep_best else ""
    line = f"{options.out}: {summary['bytes'] / 1e6:.2f} MB, learned in {steps} steps{best}"
    show(summary, options.json, [line])
