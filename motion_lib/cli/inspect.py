"""Show what is in a motion embedding file.

This prints which model the file fits, how it was made and how to apply it.

example:
  motion-inversion inspect motion.safetensors"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import shown
from .common import add_json, show

LONGEST_VALUE = 500  # characters
LONGEST_JSON = 60_000  # characters of all details together; what this library writes takes a few thousand
LONGEST_KEY = 200  # of a name that it prints, in characters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.safetensors", help="A motion embedding.")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    summary = describe(options.file)
    if options.json:
        summary = {**summary, "details": bounded(summary["details"])}
    show(summary, options.json, lines_of(summary))


def describe(path: str | Path) -> dict[str, Any]:
    """What a user wants to know of a file, in reading order; what it says of itself is apart, under `details`, and the
    preview picture is left out."""
    from ..files.details import written_details
    from ..files.embedding_file import FORMAT, embedding_from, read

    tensors, header = read(path, FORMAT)
    embedding = embedding_from(path, tensors, header, FORMAT)
    details = written_details(embedding.origin, embedding.advice)
    stored = [str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()]
    return {
        "file": str(path),
        "bytes": Path(path).stat().st_size,
        "fits": embedding.backbone.describe(),
        "frames": embedding.frames,
        "layers": len(embedding.layers),
        "holds": embedding.holds(),
        "values": embedding.numel(),
        "stored": f"{header['compression']} bits a value" if "compression" in header else stored[0],
        "grids": {name: f"{h}x{w}" for name, (h, w) in embedding.grids.items()},
        "details": {k: v for k, v in details.items() if k != "thumbnail"},
    }


def bounded(details: dict[str, Any]) -> dict[str, Any]:
    """The details, as far as LONGEST_JSON has room for them. In place of a longer one stands how long it is."""
    kept, room = {}, LONGEST_JSON
    for key, value in details.items():
        key, size = key if len(key) <= LONGEST_KEY else shown(key, 60), len(json.dumps(value, indent=2))
        kept[key] = value if size <= room else f"left out: it takes {size} characters"
        room -= len(json.dumps({key: kept[key]}, indent=2))
        if room < 0:
            break
    return kept


def lines_of(summary: Mapping[str, Any]) -> Iterator[str]:
    """The same for people: what was found in the file, then, set in, what the file says of itself."""
    for key, value in summary.items():
        if key != "details":
            yield f"{key}: {shown(value, LONGEST_VALUE)}"
    if summary["details"]:
        yield "the file says of itself:"
    for key, value in summary["details"].items():
        yield f"  {shown(key, 60)}: {shown(value, LONGEST_VALUE)}"
