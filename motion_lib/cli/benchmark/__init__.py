"""Measure the method and the code: `benchmark motion | codes | ablations | grid | edits | frames | speed | scaling`.

motion      methods of motion transfer side by side, on rendered clips whose true motion is known
codes       what one pass reads of a motion, and what it is worth
ablations   one switch of the method at a time
grid        training steps, strength and noise of one motion, to choose by
edits       what mirrored, reversed, retimed and joined motions do to videos
frames      noise and momentum of videos from an image model, without training
speed       time and memory of training and sampling, at full size on a GPU
scaling     how fast one process, and several, learn a folder of clips

example:
  motion-inversion benchmark motion --quick"""

from __future__ import annotations

import argparse
from importlib import import_module

# Modules of this folder with add_arguments and run.
BENCHMARKS: tuple[str, ...] = ("motion", "codes", "ablations", "grid", "edits", "frames", "speed", "scaling")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK", help="What to measure.")
    for name in BENCHMARKS:
        module = import_module(f".{name}", __name__)
        assert module.__doc__
        sub = kinds.add_parser(
            name,
            help=module.__doc__.split("\n\n")[0].replace("\n", " "),
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        sub.set_defaults(run_benchmark=module.run)


def run(options: argparse.Namespace) -> None:
    options.run_benchmark(options)
