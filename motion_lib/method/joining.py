"""Motions made of two: between them, both at once, one after the other. The second is resampled to the frames and grids
of the first; the result's origin says under `made_from` what was done.

Two concatenated embeddings stay so, with the ranks of both, as long as that is less than their width: their product,
which can be a hundred times as large, is formed only where it has to be.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MotionError
from .algebra import baked, place
from .application import usual_patch
from .editing import applied, at_ends, check_growth, each, formed, made, on_axes, title_of
from .embedding import MAP, PARTS, QK_AXES, V_AXES, MotionEmbedding, layer_of
from .integration import EXTRA_CHANNELS


def blend(a: MotionEmbedding, b: MotionEmbedding, weight: float = 0.5) -> MotionEmbedding:
    """(1 − weight)·A + weight·B: A at 0, B at 1. Raises MotionError for a weight that is not finite, or when the two do
    not fit each other."""
    if not math.isfinite(weight):
        raise MotionError(f"The weight to blend with is {weight}, but it must be a finite number.")
    return _sum(*_alike(a, b), (1 - weight, weight), "blend", weight=weight)


def add(a: MotionEmbedding, b: MotionEmbedding) -> MotionEmbedding:
    """A + B, both motions at once. Raises MotionError when the two do not fit each other."""
    return _sum(*_alike(a, b), (1.0, 1.0), "add")


def subtract(a: MotionEmbedding, b: MotionEmbedding) -> MotionEmbedding:
    """A − B, the motion of A without that of B. Raises MotionError when the two do not fit each other."""
    return _sum(*_alike(a, b), (1.0, -1.0), "subtract")


def chain(a: MotionEmbedding, b: MotionEmbedding) -> MotionEmbedding:
    """Do one motion after the other: over as many frames as both have, of which the last of A is the first of B. Where
    both files say where their things are, B is moved to where A's ends.

    What is debiased when it is applied is baked first, so that nothing is compared across the seam. Raises MotionError
    when the two do not fit each other, and when B would have to be moved by more than the whole picture.
    """
    if any(usual_patch(e).debias != "vanilla" for e in (a, b)):
        a, b = baked(a), baked(b)
    _, same = _alike(a, b, b.frames)
    ends, starts = a.origin.ends_at, b.origin.starts_at
    if ends and starts and _on_a_grid(same):
        same = place(same, ends[0] - starts[0], ends[1] - starts[1])
    frames, before = a.frames + b.frames - 1, a.frames
    check_growth(a, replace(a, frames=frames))
    first, second = _alike(_stretched(a, frames, 0), _stretched(_without_first(same), frames, before))
    joined = _sum(first, second, (1.0, 1.0), "chain")
    return at_ends(joined, a.origin.starts_at, same.origin.ends_at)


def combine(qk_of: MotionEmbedding, v_of: MotionEmbedding) -> MotionEmbedding:
    """Take the query-key embedding of one and the value embedding of the other: "camera of A, object of B". The result
    is applied as the first advises for the query-key embedding and as the second advises for the value embedding.

    Raises MotionError when one lacks its part, or the two do not fit each other.
    """
    first, second = _alike(qk_of, v_of)
    tensors = {key: m for key, m in first.tensors.items() if key.removesuffix(MAP).endswith(".qk")}
    values = {key: m for key, m in second.tensors.items() if key.removesuffix(MAP).endswith(".v")}
    for kind, found, owner in (("query-key", tensors, qk_of), ("value", values, v_of)):
        if not found:
            raise MotionError(f"{title_of(owner)} holds no {kind} embeddings, only {owner.holds()}.")
    grids = second.grids | first.grids
    joined = _completed(replace(first, tensors=tensors | values, grids=grids, v_axes=second.v_axes))
    usual, other = usual_patch(qk_of), usual_patch(v_of)
    return applied(
        made(joined, "combine", v_of=_about(v_of)),
        strength_qk=usual.strength_qk,
        strength_v=other.strength_v,
        debias=other.debias,
        start=other.start,
        end=other.end,
    )


def _stretched(embedding: MotionEmbedding, frames: int, before: int) -> MotionEmbedding:
    """Acting in a part of so many frames, which begins after `before` of them, and nowhere else."""
    after = frames - before - embedding.frames
    return replace(each(embedding, lambda key, m: F.pad(m, (0, 0, before, after))), frames=frames)


def _without_first(embedding: MotionEmbedding) -> MotionEmbedding:
    return replace(each(embedding, lambda key, m: m[:, 1:]), frames=embedding.frames - 1)


def _on_a_grid(embedding: MotionEmbedding) -> bool:
    return any(len(m) > 1 for key, m in embedding.tensors.items() if not key.endswith(MAP))


def _alike(
    a: MotionEmbedding, b: MotionEmbedding, frames: int | None = None
) -> tuple[MotionEmbedding, MotionEmbedding]:
    """Both embeddings with one integration, the second on the frames and grids of the first, or on so many frames."""
    frames = a.frames if frames is None else frames
    try:
        b.check_fits(a.backbone)
    except MotionError as error:
        raise MotionError(
            f"{title_of(a)} and {title_of(b)} were trained for different models ({a.backbone.describe()} and "
            f"{b.backbone.describe()}): join embeddings of one model."
        ) from error
    if a.integration != b.integration:
        a, b = formed(a), formed(b)
    if a.integration != b.integration:
        raise MotionError(
            f"{title_of(a)} has the integration {a.integration} and {title_of(b)} has {b.integration}: "
            f"they cannot be joined into one; apply both instead."
        )
    grids = {layer: a.grids.get(layer, grid) for layer, grid in b.grids.items()}
    check_growth(b, replace(b, frames=frames, grids=grids))
    return a, b.regrid(frames, grids)


def _sum(
    a: MotionEmbedding, b: MotionEmbedding, weights: tuple[float, float], edit: str, **arguments: Any
) -> MotionEmbedding:
    """The weighted sum of two on the same frames and grids; what one of them lacks is zero, which changes nothing."""
    about = _about(b)
    if not _thin(a, b):
        a, b = formed(a), formed(b)
    axes = [
        max(getattr(a, name), getattr(b, name), key=order.index)
        for name, order in (("qk_axes", list(QK_AXES)), ("v_axes", list(V_AXES)[::-1]))
    ]
    both = [on_axes(e, *axes) for e in (a, b)]
    result = replace(both[0], tensors={}, grids=both[1].grids | both[0].grids)
    for key in (f"{layer}.{part}" for layer in result.layers for part in PARTS):
        present = [e.tensors[key] for e in both if key in e.tensors]
        if not present:
            continue
        if result.integration == "concatenate":
            rows, maps = zip(*(_factors(e, key, present[0]) for e in both), strict=True)
            result.tensors[key] = torch.cat([w * n for w, n in zip(weights, rows, strict=True)], dim=2)
            result.tensors[key + MAP] = torch.cat(maps)
        else:
            zero = torch.zeros_like(present[0])
            x, y = (e.tensors.get(key, zero) for e in both)
            result.tensors[key] = weights[0] * x + weights[1] * y
    return made(_completed(result), edit, **arguments, other=about)


def _thin(*embeddings: MotionEmbedding) -> bool:
    """Are they concatenated, and together of a lower rank than the narrowest layer?"""
    if any(e.integration != "concatenate" or not e.tensors for e in embeddings):
        return False
    narrowest = min(width for e in embeddings for width in e.backbone.signature().values())
    return sum(map(_rank, embeddings)) < narrowest


def _rank(embedding: MotionEmbedding) -> int:
    return next(len(m) for key, m in embedding.tensors.items() if key.endswith(MAP))


def _factors(embedding: MotionEmbedding, key: str, like: Tensor) -> tuple[Tensor, Tensor]:
    """n `[positions, f, k]` and W `[k, c]`; zeros where this one has none, while another has `like`."""
    if key in embedding.tensors:
        return embedding.tensors[key], embedding.tensors[key + MAP]
    rank, width = _rank(embedding), embedding.backbone[layer_of(key)].channels
    return like.new_zeros(*like.shape[:2], rank), like.new_zeros(rank, width)


def _completed(embedding: MotionEmbedding) -> MotionEmbedding:
    """With zeros, which change nothing, at the layers that one of two motions was not learned at: a file has each kind
    of tensor at all of its layers or at none."""
    maps = [len(tensor) for key, tensor in embedding.tensors.items() if key.endswith(MAP)]
    shapes = embedding.shapes(maps[0] if maps else EXTRA_CHANNELS)
    kinds = tuple(kind for kind in ("qk", "v") if any(key.endswith(f".{kind}") for key in embedding.tensors))
    whole = {key: shape for key, shape in shapes.items() if key.removesuffix(MAP).endswith(kinds)}
    like = next(iter(embedding.tensors.values()), torch.zeros(()))
    tensors = {
        key: embedding.tensors[key] if key in embedding.tensors else like.new_zeros(shape)
        for key, shape in whole.items()
    }
    return embedding.with_tensors(tensors)


def _about(embedding: MotionEmbedding) -> dict[str, Any]:
    origin = embedding.origin
    known: dict[str, Any] = {"title": origin.title, "source": origin.source, "prompt": origin.prompt}
    known["made_from"] = [edit.written() for edit in origin.made_from]
    return {name: value for name, value in known.items() if value}
