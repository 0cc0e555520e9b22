from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from ....codes.design import Design
from ....codes.encoders import ENCODERS
from ....codes.inputs import INPUTS
from . import __doc__ as about
from .ablate import CHANGES, ablate
from .evaluate import evaluate
from .export import export
from .judge import judge
from .lesson import WEIGHTS
from .train import READ_FIRST, SITES, train


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m motion_lib.sprites.recipe.codes",
        description=about,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    device, usual = "cuda" if torch.cuda.is_available() else "cpu", Design()
    stages = parser.add_subparsers(dest="stage", required=True)

    sub = stages.add_parser("train", help="train encoder and decoder")
    sub.add_argument("--work", type=Path, required=True, help="folder for the state")
    sub.add_argument("--steps", type=int, default=0, help="0 for as many as fit into --minutes")
    sub.add_argument("--minutes", type=float, default=20, help="stop and save after this long")
    sub.add_argument("--batch", type=int, default=16, help="groups of eight clips in a step")
    sub.add_argument("--rate", type=float, default=1e-3)
    sub.add_argument("--first", type=int, default=256, help="groups to begin with")
    sub.add_argument("--most", type=int, default=4096, help="groups held at a time")
    sub.add_argument("--renew", type=int, default=16, help="groups added, then replaced, at every eighth step")
    sub.add_argument("--read-first", type=int, default=READ_FIRST, help="steps before the frozen model joins in")
    sub.add_argument("--device", default=device)
    sub.add_argument("--model", default="sprite_t2v")
    sub.add_argument("--sites", default=SITES)
    sub.add_argument("--labels", type=float, default=1.0, help="share of the groups whose truth is told")
    sub.add_argument("--without", nargs="*", default=(), choices=list(WEIGHTS), help="losses to leave out")
    sub.add_argument("--by-movement", action="store_true", help="weigh the denoising by what moves")
    sub.add_argument("--plain", action="store_true", help="run the frozen model as its library does")
    sub.add_argument("--inputs", default=usual.inputs, choices=list(INPUTS))
    sub.add_argument("--encoder", default=usual.encoder, choices=list(ENCODERS))
    for name in ("width", "hidden", "depth", "heads", "rank"):
        sub.add_argument(f"--{name}", type=int, default=getattr(usual, name))

    sub = stages.add_parser("export", help="write the encoder's file")
    sub.add_argument("--work", type=Path, required=True)
    sub.add_argument("--out", type=Path, required=True)
    sub.add_argument("--state-out", type=Path, help="a state of an eighth of the size as well")
    sub.add_argument("--groups", type=int, default=256, help="groups whose codes say what was seen")
    sub.add_argument("--device", default=device)

    sub = stages.add_parser("evaluate", help="measure a file on the motions of the benchmark")
    sub.add_argument("--codes", type=Path, required=True)
    sub.add_argument("--out", type=Path, required=True, help="folder for latents of the videos and figures")
    sub.add_argument("--steps", type=int, default=20)
    sub.add_argument("--prompts", type=int, default=3)
    sub.add_argument("--seeds", type=int, default=2)
    sub.add_argument("--motions", nargs="*", help="default: all of the benchmark's")
    sub.add_argument("--starts", type=int, nargs="*", default=(10, 20, 30, 40), help="steps to train from codes")
    sub.add_argument("--usual", action="store_true", help="train the preset's embeddings as well")
    sub.add_argument("--device", default=device)

    sub = stages.add_parser("ablate", help="train with one thing changed at a time, and probe")
    sub.add_argument("--out", type=Path, required=True, help="folder for rows.jsonl")
    sub.add_argument("--steps", type=int, default=500)
    sub.add_argument("--read-first", type=int, default=250)
    sub.add_argument("--groups", type=int, default=64, help="to learn the probes from")
    sub.add_argument("--share", type=int, nargs=2, default=(0, 1), metavar=("NUMBER", "OF"), help="of processes")
    sub.add_argument("--names", nargs="*", choices=list(CHANGES))
    sub.add_argument("--device", default=device)

    sub = stages.add_parser("judge", help="score the videos that evaluate kept; this needs OpenCV")
    sub.add_argument("--out", type=Path, required=True, help="the folder of evaluate")
    sub.add_argument("--prompts", type=int, default=3)
    sub.add_argument("--device", default=device)

    options = vars(parser.parse_args())
    stages_by_name: dict[str, Callable[..., object]] = {
        "train": train,
        "export": export,
        "evaluate": evaluate,
        "judge": judge,
        "ablate": ablate,
    }
    stages_by_name[options.pop("stage")](**options)


main()
