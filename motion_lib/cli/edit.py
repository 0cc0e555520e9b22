"""Make new motions of learned ones: mirror, reverse, retime, blend, …

Operations run in the order in which they are given. With two files, operations before the one that joins them, such as
--blend, act on both files, and operations after it act on the result. Nothing is learned, so this
takes no time. docs/edits.md measures what each operation does to videos.

examples:
  motion-inversion edit dance.safetensors --mirror horizontal --out mirrored.safetensors
  motion-inversion edit pan.safetensors dance.safetensors --combine --out both.safetensors
  motion-inversion edit dance.safetensors --compress 2 --out small.safetensors
  motion-inversion edit pan.safetensors dance.safetensors --bake advised --blend 0.3 --out between.safetensors"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import MotionError
from ..files.compress import BITS
from ..files.embedding_file import load_embedding, save_embedding
from ..method import algebra, joining
from ..method.application import usual_patch
from ..method.embedding import MotionEmbedding
from ..method.patch import DEBIAS
from ..video.masks import read_mask
from .common import add_json, say, show
from .inspect import describe, lines_of

ADVISED = "advised"  # by the file itself


@dataclass(frozen=True)
class Operation:
    """about: the option's help. act: takes one embedding, or two if it joins, and the option's value. kind: how
    argparse reads the value."""

    about: str
    act: Callable[..., MotionEmbedding]
    joins: bool = False
    kind: dict[str, Any] = field(default_factory=dict)


def _number(name: str, read: type = float) -> dict[str, Any]:
    return {"metavar": name, "type": read}


def _box(text: str) -> tuple[float, float, float, float]:
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not LEFT,TOP,RIGHT,BOTTOM, as in 0,0,0.5,1") from error
    return left, top, right, bottom


def _place(text: str) -> tuple[float, float, float]:
    try:
        right, down, zoom = (float(part) for part in (text + ",1" if text.count(",") == 1 else text).split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not RIGHT,DOWN or RIGHT,DOWN,ZOOM, as in 0.25,-0.1") from error
    return right, down, zoom


OPERATIONS: dict[str, Operation] = {
    "mirror": Operation(
        "Swap left and right, or top and bottom.", algebra.mirror, kind={"choices": list(algebra.MIRRORS)}
    ),
    "reverse": Operation("Play the motion backwards.", lambda e, _: algebra.reverse(e), kind={"nargs": 0}),
    "retime": Operation(
        "2 runs through the motion twice as fast and then holds its end; 0.5 shows only its first half.",
        algebra.retime,
        kind=_number("SPEED"),
    ),
    "frames": Operation(
        "How many frames the motion has. It fits itself to the video in any case.",
        lambda e, frames: algebra.retime(e, frames=frames),
        kind=_number("N", int),
    ),
    "loop": Operation(
        "Make the motion end where it began, either forwards and then backwards, or by removing its drift.",
        algebra.loop,
        kind={"choices": algebra.LOOPS},
    ),
    "scale": Operation(
        "Multiply the strength of the motion. To turn a motion around, use --mirror or --reverse.",
        algebra.scale,
        kind=_number("X"),
    ),
    "scale-qk": Operation(
        "Multiply the strength of the query-key embedding; 0 drops it.",
        lambda e, x: algebra.scale(e, qk=x),
        kind=_number("X"),
    ),
    "scale-v": Operation(
        "Multiply the strength of the value embedding; 0 drops it.",
        lambda e, x: algebra.scale(e, v=x),
        kind=_number("X"),
    ),
    "region": Operation(
        "Keep the motion inside LEFT,TOP,RIGHT,BOTTOM, each from 0 to 1.",
        lambda e, box: algebra.masked(e, algebra.region(*box)),
        kind={"metavar": "BOX", "type": _box},
    ),
    "place": Operation(
        "Move the motion to another part of the picture, by shares of its width and height; a zoom makes the motion "
        "larger about the middle first. Write --place=-0.2,0 to move to the left.",
        lambda e, to: algebra.place(e, *to),
        kind={"metavar": "RIGHT,DOWN[,ZOOM]", "type": _place},
    ),
    "mask": Operation(
        "Keep the motion where this picture is white; grey keeps a part of it.",
        lambda e, path: algebra.masked(e, read_mask(path)),
        kind={"metavar": "PICTURE"},
    ),
    "bake": Operation(
        "Write the strengths and this debias into the tensors; advised takes what the file advises.",
        lambda e, debias: algebra.baked(e, None if debias == ADVISED else debias),
        kind={"choices": [ADVISED, *DEBIAS]},
    ),
    "blend": Operation(
        "Make a motion that lies between the first (0) and the second (1).", joining.blend, True, _number("WEIGHT")
    ),
    "add": Operation("Do both motions at once.", lambda a, b, _: joining.add(a, b), True, {"nargs": 0}),
    "subtract": Operation(
        "Take the second motion away from the first.", lambda a, b, _: joining.subtract(a, b), True, {"nargs": 0}
    ),
    "then": Operation(
        "Do the second motion after the first, over as many frames as both have together. Where the files say where "
        "their things are, the second begins where the first ends.",
        lambda a, b, _: joining.chain(a, b),
        True,
        {"nargs": 0},
    ),
    "combine": Operation(
        'Take the query-key embedding of the first and the value embedding of the second: "camera of A, object of B".',
        lambda a, b, _: joining.combine(a, b),
        True,
        {"nargs": 0},
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="One motion embedding, or two to join.")
    parser.add_argument("--out", type=Path, required=True, help="The .safetensors file to write.")
    parser.add_argument("--title", help="The title of the new file.")
    parser.add_argument(
        "--compress", type=int, choices=BITS, metavar="BITS", help="Store each value in 2, 4 or 8 bits instead of 16."
    )
    add_json(parser)
    one = parser.add_argument_group("operations on a motion")
    two = parser.add_argument_group("operations that join two files")
    for name, operation in OPERATIONS.items():
        (two if operation.joins else one).add_argument(
            f"--{name}", action=_Next, default=argparse.SUPPRESS, help=operation.about, **operation.kind
        )


class _Next(argparse.Action):
    """Keeps operations in the order in which they are given."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        name = self.option_strings[0].removeprefix("--")
        namespace.operations = [*getattr(namespace, "operations", ()), (name, values)]


def run(options: argparse.Namespace) -> None:
    embeddings = [_titled(load_embedding(path), path) for path in options.files]
    for name, value in getattr(options, "operations", ()):
        embeddings = apply(embeddings, name, value)
    if len(embeddings) > 1:
        raise MotionError(
            f"{len(embeddings)} files need an operation that joins them: --blend, --add, --subtract or --combine."
        )
    result = embeddings[0]
    if options.title:
        result = replace(result, origin=replace(result.origin, title=options.title))
    save_embedding(options.out, result, bits=options.compress)
    summary = describe(options.out)
    show(summary, options.json, lines_of(summary))


def apply(embeddings: Sequence[MotionEmbedding], name: str, value: Any) -> list[MotionEmbedding]:
    """One operation: on every embedding, or joining two into one.

    Raises MotionError for an operation that joins another number of embeddings than two.
    """
    operation = OPERATIONS[name]
    if not operation.joins:
        return [operation.act(embedding, value) for embedding in embeddings]
    if len(embeddings) != 2:
        raise MotionError(f"--{name} joins two files, but there are {len(embeddings)} here.")
    ways = [(patch.debias, patch.strength_qk, patch.strength_v) for patch in map(usual_patch, embeddings)]
    if name != "combine" and ways[0] != ways[1]:
        say(
            "The two files are applied in different ways (debias, strengths), and the result is applied as the "
            "first one advises: --bake advised before joining keeps what each one does."
        )
    return [operation.act(*embeddings, value)]


def _titled(embedding: MotionEmbedding, path: str) -> MotionEmbedding:
    """With the file's name where it has no title, for messages and the account of what was done."""
    if embedding.origin.title is not None:
        return embedding
    return replace(embedding, origin=replace(embedding.origin, title=Path(path).stem))
