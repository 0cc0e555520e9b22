"""The edits of an embedding, made on its reference too: on latents or on inversion noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .algebra import retimed, there_and_back
from .embedding import MotionEmbedding
from .records import MIRRORS


def mirror(latents: Tensor, axis: str = "horizontal") -> Tensor:
    """`[b, c, f, h, w]` with left and right swapped, or top and bottom."""
    return latents.flip(3 + MIRRORS[axis])


def reverse(latents: Tensor) -> Tensor:
    """`[b, c, f, h, w]` with the last frame first."""
    return latents.flip(2)


def retime(latents: Tensor, speed: float = 1.0) -> Tensor:
    """Every frame is the one of `[b, c, f, h, w]` that is nearest in the motion: never a mixture of two, which would
    fade in a clip and lose variance in noise."""
    return _nearest(latents, retimed(latents.shape[2], speed))


def loop(latents: Tensor, how: str = "there_and_back") -> Tensor:
    """`[b, c, f, h, w]` played forwards and then backwards; `close` leaves frames where they are."""
    return _nearest(latents, there_and_back(latents.shape[2])) if how == "there_and_back" else latents


def place(latents: Tensor, right: float = 0.0, down: float = 0.0, zoom: float = 1.0) -> Tensor:
    """`[b, c, f, h, w]` made larger about the middle and then moved, by shares of the picture: every latent is one that
    there was, and what leaves on one side comes in on the other, so that noise stays noise."""
    for axis, shift in ((3, down), (4, right)):
        size = latents.shape[axis]
        at = (torch.arange(size) + 0.5) / size - shift
        rows = ((0.5 + (at - 0.5) / zoom) * size + 1e-6).floor().long() % size
        latents = latents.index_select(axis, rows.to(latents.device))
    return latents


def edited_like(embedding: MotionEmbedding, latents: Tensor) -> Tensor:
    """Latents `[b, c, f, h, w]` of the reference clip, clean ones before they are inverted or its inversion noise, with
    the edits of the embedding that move things in time or on the grid.

    Without these edits, mixed noise would pull towards the motion as it was before. For joined embeddings, the edits of
    the first are made.
    """
    for edit in embedding.origin.made_from:
        latents = EDITS.get(edit.name, _stay)(latents, edit.arguments)
    return latents


def _stay(latents: Tensor, arguments: Mapping[str, Any]) -> Tensor:
    return latents


EDITS: dict[str, Callable[[Tensor, Mapping[str, Any]], Tensor]] = {
    "mirror": lambda latents, given: mirror(latents, given["axis"]),
    "reverse": lambda latents, given: reverse(latents),
    "retime": lambda latents, given: retime(latents, given["speed"]),
    "loop": lambda latents, given: loop(latents, given["how"]),
    "place": lambda latents, given: place(latents, given["right"], given["down"], given["zoom"]),
}


CAMERA_TOO = EDITS.keys() - {"place"}  # which change what the clip's camera does as well


def _nearest(latents: Tensor, positions: Tensor) -> Tensor:
    rows = (positions * (latents.shape[2] - 1)).round().long()
    return latents.index_select(2, rows.to(latents.device))
