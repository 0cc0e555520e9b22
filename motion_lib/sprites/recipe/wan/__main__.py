from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from .. import checkpoint
from . import __doc__ as about
from . import autoencoder, distil, evaluate, export, transformer, unpack
from .design import FRAMES


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m motion_lib.sprites.recipe.wan",
        description=about,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    stages = parser.add_subparsers(dest="stage", required=True)

    def stage(name: str, text: str):
        sub = stages.add_parser(name, help=text)
        sub.add_argument("--work", type=Path, required=True, help="folder for the state of every stage")
        return sub

    def training(name: str, text: str, batch: int, rate: float):
        sub = stage(name, text)
        sub.add_argument("--steps", type=int, default=0, help="0 for as many as fit into --minutes")
        sub.add_argument("--minutes", type=float, default=8)
        sub.add_argument("--batch", type=int, default=batch, help="clips at a time, on each GPU")
        sub.add_argument("--rate", type=float, default=rate)
        sub.add_argument("--device", default=device)
        sub.add_argument("--no-photographs", dest="photographs", action="store_false", help="without scikit-image")
        sub.add_argument("--no-compile", dest="compile", action="store_false", help="run the model as it is written")
        return sub

    training("autoencoder", "train the video autoencoder of sprite_wan", batch=8, rate=1e-3)
    sub = stage("measure", "measure the video autoencoder on clips it never saw")
    sub.add_argument("--device", default=device)
    sub.add_argument("--clips", type=int, default=32)
    sub.add_argument("--frames", type=int, default=FRAMES)
    sub.add_argument("--no-photographs", dest="photographs", action="store_false", help="without scikit-image")
    sub.add_argument("--sheet", type=Path, help="PNG of clips and what came back")
    sub.add_argument("--out", type=Path, help="JSON file for the result")

    sub = training("transformer", "train text encoder and transformer of sprite_wan", batch=256, rate=1e-3)
    sub.add_argument("--clips", type=int, default=8192, help="latent clips held at a time")
    sub.add_argument("--renew", type=int, default=64, help="clips replaced at every 24th step, an even number")
    sub.add_argument("--cool", action="store_true", help="let the learning rate fall: the last run")

    sub = training("distil", "train the companion for 4 steps without guidance", batch=128, rate=2e-3)
    sub.add_argument("--grow", type=int, default=128, help="paths added at every 25th step")

    sub = stage("lighten", "write the transformer's weights alone, in half precision, to carry on from elsewhere")
    sub.add_argument("--out", type=Path, required=True)

    sub = stage("export", "write the files of sprite_wan")
    sub.add_argument("--out", type=Path, required=True)

    sub = stage("unpack", "fill the work folder with an exported model, to measure it or to train it further")
    sub.add_argument("--model", default="sprite_wan", help="a folder that export wrote, or a bundled model's name")

    sub = stage("evaluate", "measure sprite_wan on captions, pictures and seeds drawn at random")
    sub.add_argument("--pairs", type=int, default=128)
    sub.add_argument("--companion", action="store_true", help="with the companion, for --steps 4 --guidance 1")
    sub.add_argument("--guidance", type=float, default=4.0)
    sub.add_argument("--steps", type=int, default=20)
    sub.add_argument("--shift", type=float, default=3.0)
    sub.add_argument("--device", default=device)
    sub.add_argument("--sheets", type=Path, required=True, help="folder for contact sheets")
    sub.add_argument("--out", type=Path, help="JSON file for the result")

    options = vars(parser.parse_args())
    RUN[options.pop("stage")](**options)


def _measure(out: Path | None, **options) -> None:
    result = autoencoder.measure(**options)
    if out:
        out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _lighten(work: Path, out: Path) -> None:
    checkpoint.lighten(work / transformer.FILE, out / transformer.FILE)


RUN = {
    "autoencoder": autoencoder.train,
    "measure": _measure,
    "transformer": transformer.train,
    "distil": distil.train,
    "lighten": _lighten,
    "export": export.export,
    "unpack": unpack.unpack,
    "evaluate": evaluate.evaluate,
}


if __name__ == "__main__":
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    main()
