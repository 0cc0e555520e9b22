"""Turn a published motion_embed.pt into a safe file.

Reads the pickled dictionary of tensors that the authors of Motion Inversion distribute, without executing anything in
it, keeps the rows that were trained, and writes a .safetensors file that every command and node here loads.

example:
  motion-inversion convert motion_embed.pt dolly_zoom.safetensors"""

from __future__ import annotations

import argparse

from ..errors import MotionError
from .common import add_json, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE.pt", help="The published file.")
    parser.add_argument("out", metavar="OUT.safetensors", help="The file to write.")
    parser.add_argument(
        "--frames", type=int, help="How many frames it was trained on (default: found from the rows of zeros)."
    )
    parser.add_argument(
        "--grid", type=_grid, help="The deepest feature grid, HEIGHTxWIDTH (default: the one nearest to 16:9)."
    )
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    from ..files.convert import convert
    from ..files.embedding_file import save_embedding
    from .inspect import describe, lines_of

    embedding = convert(options.source, frames=options.frames, grid=options.grid)
    save_embedding(options.out, embedding)
    summary = describe(options.out)
    guessed = embedding.origin.grid_guessed
    hint = ["The grid was guessed; give --grid if the clip was not 16:9."] if guessed else []
    show(summary, options.json, [f"{options.source} → {options.out}", *lines_of(summary), *hint])


def _grid(text: str) -> tuple[int, int]:
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not HEIGHTxWIDTH, as in 10x18") from error
    if height < 1 or width < 1:
        raise MotionError(f"--grid is {text}, but both sides must be at least 1.")
    return height, width
