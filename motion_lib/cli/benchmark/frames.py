"""Noise priors and momentum of videos made by an image model, side by side.

An image model makes videos of the same prompts and seeds with every noise prior, at equal similarity and as published,
under every momentum. A video model's videos of these prompts stand beside them. Then, start noise is carried along the
path of a clip's object, and the videos' paths are compared with it.
Results are written to the folder --out as they come, and the same command continues a run that was stopped.
  table.md      means of every score
  frames.json   every score of every video
  frames.png    frames of the first three prompts' videos for each row
A machine without OpenCV makes the videos with --make-only, and another one judges them with --judge-only; both continue
what was stopped.

examples:
  motion-inversion benchmark frames --quick --out quick
  motion-inversion benchmark frames --device cuda --out frames
  motion-inversion benchmark frames --device cuda --out frames --make-only
  motion-inversion benchmark frames --device cpu --out frames --judge-only"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ...diffusion.frame_noise import correlations, similarity_of
from ...diffusion.sampling import random_noise
from ...errors import MotionError
from ...frames_from_images.momentum import Momentum
from ..common import add_device_arguments, bar, pick_device, pick_dtype
from .frame_runs import Bench, Maker, command

MOMENTA = (0.0, 0.5, 0.9, 0.98, 1.0)
MOTIONS = ("figure_eight", "orbit")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("frames"), help="The folder to write to (default: frames).")
    parser.add_argument(
        "--model", default="sprite_image", help="The image model: a folder, or sprite_image (default: sprite_image)."
    )
    parser.add_argument(
        "--video-model",
        default="sprite_t2v",
        help="The video model to compare with: a folder, sprite_t2v, or none (default: sprite_t2v).",
    )
    add_device_arguments(parser.add_argument_group("model"))
    parser.set_defaults(dtype="float32")
    group = parser.add_argument_group("what is tried")
    group.add_argument("--quick", action="store_true", help="Try few prompts and sampling steps, for a CPU.")
    prompts = group.add_mutually_exclusive_group()
    prompts.add_argument("--prompts", type=int, help="How many prompts (default: 20; 4 with --quick).")
    prompts.add_argument("--prompt", nargs="+", metavar="TEXT", help="Prompts of your own instead.")
    group.add_argument("--seeds", type=int, default=2, help="How many videos each prompt has (default: 2).")
    group.add_argument("--frames", type=int, default=16, help="How many frames a video has (default: 16).")
    group.add_argument(
        "--momentum", type=float, nargs="+", default=list(MOMENTA), help="Momenta (default: 0 0.5 0.9 0.98 1)."
    )
    group.add_argument(
        "--similarity",
        type=float,
        default=similarity_of("progressive"),
        help="The correlation of neighbours at which priors are compared, beside what is published (default: "
        "progressive noise's, 0.894).",
    )
    group.add_argument(
        "--motions",
        nargs="*",
        default=list(MOTIONS),
        metavar="MOTION",
        help="Motions whose paths the start noise is carried along (default: figure_eight orbit).",
    )
    group.add_argument(
        "--sampling-steps",
        type=int,
        help="How many steps sampling takes (default: as the model says; 10 with --quick).",
    )
    group.add_argument("--guidance", type=float, help="How closely to follow the prompt (default: as the model says).")
    group.add_argument("--batch", type=int, default=4, help="How many videos are made at once (default: 4).")
    halves = parser.add_argument_group("on two machines").add_mutually_exclusive_group()
    halves.add_argument(
        "--make-only",
        action="store_true",
        help="Make the videos and keep them, without loss, in the folder videos of --out, which needs no OpenCV.",
    )
    halves.add_argument(
        "--judge-only",
        action="store_true",
        help="Judge the videos that are kept there, which needs no model; of all other options, only --text-model and "
        "--device, where it works, say anything.",
    )
    group.add_argument("--text-model", metavar="FOLDER", help="A CLIP model, which adds scores of text and frames.")


def run(options: argparse.Namespace) -> None:
    from ...metrics.clip import load_clip
    from ...video.frames import opencv

    check(options)
    if not options.make_only:
        opencv()  # which the scores need: a run that lacks it is to end before the first videos are made
    device = pick_device(options.device)
    bench = Bench(options, load_clip(options.text_model, device) if options.text_model else None)
    if options.judge_only:
        bench.judge_kept()
    else:
        _make(bench, device)


def _make(bench: Bench, device: torch.device) -> None:
    """All videos, each row of which is judged or kept."""
    from ...backbones import load_model
    from ...benchmark.cases import rendered_case
    from ...benchmark.frame_trials import followings, prompts_of, ties
    from ...frames_from_images.loading import load_image_model

    options = bench.options
    prompts = options.prompt or prompts_of(options.prompts or (4 if options.quick else 20))
    dtype = pick_dtype(options.dtype, device)
    images = load_image_model(options.model, device, dtype)
    videos = None if options.video_model == "none" else load_model(options.video_model, device, dtype)
    side = min(images.defaults.width, images.defaults.height)
    cases = [rendered_case(motion, 1, options.frames, side) for motion in options.motions]
    momenta = list(dict.fromkeys(options.momentum))
    tied, following = ties(momenta, options.similarity), followings(cases, momenta)

    rows, total = [], len(tied) + len(following) + (videos is not None)
    progress = bar(total, "Benchmark")
    try:
        for trial in tied:
            maker = Maker(options, images, trial.start, Momentum(trial.momentum), (trial.prior, trial.similarity))
            rows.append(bench.done(maker, maker.row(len(rows), "Noise and momentum", trial.label, prompts)))
            progress.update(1)
        if videos is not None:
            maker, label = Maker(options, videos, random_noise), f"{videos.name}, a video model"
            rows.append(bench.done(maker, maker.row(len(rows), "Noise and momentum", label, prompts)))
            progress.update(1)
        for trial in following:
            maker, path = Maker(options, images, trial.start, Momentum(trial.momentum)), trial.path
            rows.append(bench.done(maker, maker.row(len(rows), "Noise along a path", trial.label, prompts, path)))
            progress.update(1)
    finally:
        progress.close()
    if options.make_only:
        print(
            f"The videos are in {bench.kept.folder}: copy {options.out} to a machine with OpenCV, and judge them there "
            f"with --judge-only --out {options.out.name}."
        )
    else:
        bench.write([row for row in rows if row is not None], [command()])


def check(options: argparse.Namespace) -> None:
    """Raises MotionError for a number outside its range, before anything is loaded or made."""
    least = {"prompts": 1, "seeds": 1, "frames": 3, "batch": 1, "sampling_steps": 1}
    for name, lowest in least.items():
        value = getattr(options, name)
        if value is not None and value < lowest:
            raise MotionError(f"--{name.replace('_', '-')} is {value}, but it must be at least {lowest}.")
    correlations("mixed", options.similarity, 2)
    for momentum in options.momentum:
        Momentum(momentum)
