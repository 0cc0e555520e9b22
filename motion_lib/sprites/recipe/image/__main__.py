from __future__ import annotations

import argparse
from pathlib import Path

import torch

from . import __doc__ as about
from . import evaluate, export, unet


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m motion_lib.sprites.recipe.image",
        description=about,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    stages = parser.add_subparsers(dest="stage", required=True)

    sub = stages.add_parser("unet", help="train the UNet of sprite_image")
    sub.add_argument("--work", type=Path, required=True, help="folder for the state of the stage")
    sub.add_argument("--steps", type=int, default=0, help="0 for as many as fit into --minutes")
    sub.add_argument("--minutes", type=float, default=45)
    sub.add_argument("--batch", type=int, default=24, help="pictures at a time, on each GPU")
    sub.add_argument("--rate", type=float, default=8e-4)
    sub.add_argument("--clips", type=int, default=160, help="clips of 2 pictures held at a time")
    sub.add_argument("--renew", type=int, default=2, help="clips replaced at every step")
    sub.add_argument("--device", default=device)
    sub.add_argument("--no-compile", dest="compile", action="store_false", help="run the model as it is written")

    sub = stages.add_parser("export", help="write the UNet")
    sub.add_argument("--work", type=Path, required=True)
    sub.add_argument("--out", type=Path, required=True)
    sub.add_argument("--whole", action="store_true", help="add sprite_t2v's other parts, for other programs")

    sub = stages.add_parser("evaluate", help="measure a model folder on captions and seeds drawn at random")
    sub.add_argument("--model", default="sprite_image")
    sub.add_argument("--pictures", type=int, default=64)
    sub.add_argument("--guidance", type=float, default=4.0)
    sub.add_argument("--steps", type=int, default=20)
    sub.add_argument("--seed", type=int, default=2026)
    sub.add_argument("--batch", type=int, default=64)
    sub.add_argument("--device", default=device)
    sub.add_argument("--out", type=Path, help="JSON file for the result")

    options = vars(parser.parse_args())
    RUN[options.pop("stage")](**options)


RUN = {"unet": unet.train, "export": export.export, "evaluate": evaluate.evaluate}


if __name__ == "__main__":
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    main()
