"""Learn the motion of a video, or of every video in a folder, and write it to a small file.

Describe what the video shows with --prompt, so that the embedding need not learn it: what is said of the look does not
go into the motion. Several videos of one motion take one --prompt each. Ctrl-C keeps what was learned; --resume carries
on. With --keep-best the run is judged along the way, and the best embedding is kept instead of the last.

A folder of videos becomes a folder of files, --out; a folder of images is one video. What each shows stands in a text
file of its name beside it (dance.mp4, dance.txt), or in --prompts. Run again, it carries on where it stopped. Processes
on one or several machines share the videos of a folder: start the same command more than once, or with
accelerate launch --multi_gpu -m motion_lib train FOLDER …

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
from ..errors import MotionError
from ..files.claims import claimed
from ..method.embedding import COMPONENTS, QK_AXES, V_AXES
from ..method.integration import INTEGRATIONS
from ..method.patch import DEBIAS
from ..training.losses import LOSSES
from ..training.presets import PRESETS
from ..training.settings import LR_SCHEDULES
from .common import add_clip_arguments, add_json, add_model_arguments, add_seed, load, show
from .library import clips_in, learn_all
from .task import EVERY, check_places, learn_one, task_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "video", metavar="VIDEO", nargs="+", help="mp4, webm, gif, webp, … or a folder of images; or a folder of those"
    )
    parser.add_argument(
        "--prompt", action="append", help="what the video shows, in the model's own words; once for each"
    )
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE",
        help='of a folder of videos: CSV with columns file and prompt, or JSON {"dance.mp4": "a man dancing", …}',
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="the .safetensors file to write; of a folder of videos, the folder"
    )
    parser.add_argument(
        "--mask", metavar="IMAGE", help="learn only where this image, or video, is bright; it is sized as the video is"
    )
    parser.add_argument("--resume", action="store_true", help="carry on a run that was stopped")
    add_model_arguments(parser)
    parser.add_argument(
        "--mode",
        default="auto",
        choices=MODES,
        help="of training: fast, low_memory, or plain, which is as the model's library runs it; auto: the fastest that "
        "the GPU's memory allows, plain on a CPU (default: auto)",
    )
    add_training_arguments(parser)
    add_keeping_arguments(parser)
    add_clip_arguments(parser)
    add_seed(parser)
    add_json(parser)


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training (each option overrides the preset)")
    kinds = "; ".join(f"{name}: {entry.about}" for name, entry in PRESETS.items())
    group.add_argument("--preset", default="object", choices=list(PRESETS), help=f"{kinds} (default: object)")
    group.add_argument("--steps", type=int, help="how long to learn; more follows the clip more closely")
    group.add_argument("--learning-rate", type=float, help="how fast to learn")
    group.add_argument("--lr-schedule", choices=list(LR_SCHEDULES), help="how the learning rate falls over the steps")
    group.add_argument("--clip", type=float, metavar="NORM", help="largest norm of the gradient; 0 for no limit")
    group.add_argument("--loss", choices=list(LOSSES), help="what to minimise")
    group.add_argument(
        "--timesteps",
        type=int,
        nargs=2,
        metavar=("LOWEST", "HIGHEST"),
        help="noise levels to learn at, 0 to 999; motion is decided at the high ones",
    )
    group.add_argument(
        "--timestep-bias",
        type=float,
        metavar="POWER",
        help="draw high noise levels more often, by this power of the place in their range; 0 draws all alike",
    )
    group.add_argument("--train-debias", choices=list(DEBIAS), help="form in which the value embedding is learned")
    group.add_argument(
        "--motion-mask",
        type=float,
        metavar="SHARE",
        help="keep the value embedding to where the clip moves: the share of its largest movement that counts in full; "
        "0 keeps it everywhere",
    )
    group.add_argument("--sites", help="layers: all, deep, coarse, coarse_up, or names such as up_blocks.1.*")
    group.add_argument("--components", choices=list(COMPONENTS), help="which embeddings to learn")
    group.add_argument("--integration", choices=list(INTEGRATIONS), help="how they join a layer's input")
    group.add_argument("--qk-axes", choices=list(QK_AXES), help="grid of the query-key embedding; partial: 4×4")
    group.add_argument("--v-axes", choices=list(V_AXES), help="grid of the value embedding; 1d: none")


def add_keeping_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("candidates along the way")
    group.add_argument("--every", type=int, metavar="STEPS", help="write the embedding so far every so many steps")
    group.add_argument(
        "--keep-best",
        nargs="+",
        metavar="PROMPT",
        help="sample these prompts with every candidate, and keep the one whose motion fidelity minus appearance leak "
        f"is highest (every {EVERY} steps if --every is not given)",
    )
    group.add_argument(
        "--patience", type=int, default=0, metavar="N", help="stop after N candidates without a better one (0: never)"
    )


def run(options: argparse.Namespace) -> None:
    clips = clips_in(Path(options.video[0])) if len(options.video) == 1 else []
    if clips:
        learn_all(options, clips)
        return
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
