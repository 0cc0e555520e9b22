"""Show what is in a motion embedding file.

Prints which model it fits, how it was made and how to apply it.

example:
  motion-inversion inspect motion.safetensors"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .common import add_json, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.safetensors", help="a motion embedding")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    summary = describe(options.file)
    show(summary, options.json, (f"{key}: {value}" for key, value in summary.items()))


def describe(path: str | Path) -> dict[str, Any]:
    """What a user wants to know of a file, in reading order; the preview picture is left out."""
    from ..files import FORMAT, embedding_from, read

    tensors, header = read(path)
    embedding = embedding_from(path, tensors, header, FORMAT)
    stored = [str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()]
    details = {k: v for k, v in embedding.details.items() if k != "thumbnail"}
    return {
        "file": str(path),
        "bytes": Path(path).stat().st_size,
        "fits": embedding.backbone.describe(),
        "frames": embedding.frames,
        "layers": len(embedding.layers),
        "holds": embedding.holds(),
        "values": embedding.numel(),
        "stored": f"{header['compression']} bits a value" if "compression" in header else stored[0],
        **details,
        "grids": {name: f"{h}x{w}" for name, (h, w) in embedding.grids.items()},
    }
