"""What editing motions is made of: changes of every tensor, what the result says of itself, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from ..errors import MotionError, shown
from .embedding import MAP, MotionEmbedding
from .records import FARTHEST, Edit
from .resample import resize_grid

LARGEST = 1 << 28  # values that an edit may make, 1 GiB: more than what is usually learned
GROWTH = 4  # an edit may make this many times as many values as there are in any case


def each(embedding: MotionEmbedding, change: Callable[[str, Tensor], Tensor]) -> MotionEmbedding:
    """All tensors changed except maps, which have neither frames nor grid."""
    return embedding.with_tensors({k: m if k.endswith(MAP) else change(k, m) for k, m in embedding.tensors.items()})


def on_axes(embedding: MotionEmbedding, qk_axes: str, v_axes: str) -> MotionEmbedding:
    """The same embedding with these spatial axes, which must be those it has or richer ones."""
    target = replace(embedding, qk_axes=qk_axes, v_axes=v_axes)
    check_growth(embedding, target)

    def spread(key: str, m: Tensor) -> Tensor:
        h, w = target.grid_of(key)
        return m.expand(h * w, -1, -1) if len(m) == 1 else resize_grid(m, embedding.grid_of(key), (h, w))

    return target.with_tensors(each(embedding, spread).tensors)


def formed(embedding: MotionEmbedding) -> MotionEmbedding:
    """A concatenated embedding as the added one that it equals, n·W; others as they are."""
    if embedding.integration != "concatenate":
        return embedding
    tensors = {k: m @ embedding.tensors[k + MAP] for k, m in embedding.tensors.items() if not k.endswith(MAP)}
    return replace(embedding, tensors=tensors, integration="add")


def check_growth(embedding: MotionEmbedding, target: MotionEmbedding) -> None:
    """Raise MotionError if the tensors would become far too large on the frames and grids of `target`: a small file
    can name a grid of any size."""
    sizes = ((math.prod(target.grid_of(k)), m.shape[2]) for k, m in embedding.tensors.items() if not k.endswith(MAP))
    count = sum(positions * target.frames * channels for positions, channels in sizes)
    if count > max(LARGEST, GROWTH * embedding.numel()):
        raise MotionError(
            f"{title_of(embedding)} would grow from {embedding.numel():,} to {count:,} values, for {target.frames} "
            f"frames and its grids, but at most {LARGEST:,} are made: take fewer frames or smaller grids."
        )


def check_places(embedding: MotionEmbedding, what: str) -> None:
    if all(len(tensor) == 1 for key, tensor in embedding.tensors.items() if not key.endswith(MAP)):
        raise MotionError(f"{title_of(embedding)} has no spatial axes ({embedding.holds()}): it cannot be {what}.")


def title_of(embedding: MotionEmbedding) -> str:
    return shown(embedding.origin.title or "The embedding")


def made(embedding: MotionEmbedding, edit: str, **arguments: Any) -> MotionEmbedding:
    made_from = (*embedding.origin.made_from, Edit(edit, arguments))
    # The thumbnail would show another motion, and what was read of the clip would say another.
    return replace(embedding, origin=replace(embedding.origin, made_from=made_from, thumbnail=None, reading={}))


Spot = tuple[float, ...]  # x, y and size, as a Place says them; nothing where it is not known


def at_ends(embedding: MotionEmbedding, starts: Spot, ends: Spot) -> MotionEmbedding:
    """With other places of its thing in the first and the last frame; one far outside the picture is not known."""
    spots = {"starts_at": starts, "ends_at": ends}
    known = {name: spot if max(map(abs, spot), default=0) <= FARTHEST else () for name, spot in spots.items()}
    return replace(embedding, origin=replace(embedding.origin, **known))


def along(embedding: MotionEmbedding, move: Callable[[float, float, float], Spot]) -> MotionEmbedding:
    """With these places moved as the motion is."""
    starts, ends = (move(*spot) if spot else () for spot in (embedding.origin.starts_at, embedding.origin.ends_at))
    return at_ends(embedding, starts, ends)


def applied(embedding: MotionEmbedding, **advice: Any) -> MotionEmbedding:
    """The same embedding with other advice on how to apply it."""
    return replace(embedding, advice=replace(embedding.advice, **advice))
