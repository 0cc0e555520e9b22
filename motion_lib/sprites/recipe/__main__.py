from __future__ import annotations

import argparse
from pathlib import Path

import torch

from . import __doc__ as about
from . import autoencoder, evaluate, export, unet


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m motion_lib.sprites.recipe", description=about, formatter_class=argparse.RawTextHelpFormatter
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    stages = parser.add_subparsers(dest="stage", required=True)

    def stage(name: str, text: str, **defaults) -> argparse.ArgumentParser:
        sub = stages.add_parser(name, help=text)
        sub.add_argument("--work", type=Path, required=True, help="folder for the state of every stage")
        sub.add_argument("--steps", type=int, default=defaults["steps"], help="unet: 0 for as many as fit")
        sub.add_argument("--batch", type=int, default=128)
        sub.add_argument("--minutes", type=float, default=0, help="stop and save after this long (0: when done)")
        sub.add_argument("--device", default=device)
        return sub

    stage("autoencoder", "train the image autoencoder", steps=6000)
    sub = stage("unet", "train text encoder and UNet", steps=20000)
    sub.add_argument("--rate", type=float, default=1e-3)
    sub.add_argument("--clips", type=int, default=16384, help="latent clips held at a time")
    sub.add_argument("--renew", type=int, default=16, help="clips replaced at every step")
    sub.add_argument("--no-compile", dest="compile", action="store_false", help="run the model as it is written")
    sub.add_argument("--no-record", dest="record", action="store_false", help="do not record a CUDA graph")

    sub = stages.add_parser("export", help="write the model folder")
    sub.add_argument("--work", type=Path, required=True)
    sub.add_argument("--out", type=Path, required=True)

    sub = stages.add_parser("evaluate", help="measure a model folder on captions and seeds drawn at random")
    sub.add_argument("--model", default="sprite_t2v")
    sub.add_argument("--pairs", type=int, default=128)
    sub.add_argument("--guidance", type=float, default=4.0)
    sub.add_argument("--steps", type=int, default=20)
    sub.add_argument("--seed", type=int, default=2026)
    sub.add_argument("--batch", type=int, default=8)
    sub.add_argument("--device", default=device)
    sub.add_argument("--out", type=Path, help="JSON file for the result")

    options = vars(parser.parse_args())
    name = options.pop("stage")
    run = {
        "autoencoder": autoencoder.train,
        "unet": unet.train,
        "export": export.export,
        "evaluate": evaluate.evaluate,
    }
    run[name](**options)


if __name__ == "__main__":
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    main()
