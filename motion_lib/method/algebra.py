"""Motions made of motions. Every function takes embeddings and returns a new one, whose origin says under `made_from`
what was done; where two are joined, the second is resampled to the frames and grids of the first.

What acts on time and grid is exact on the tensors. docs/edits.md measures what videos make of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MotionError, shown
from .application import usual_patch
from .embedding import MAP, PARTS, QK_AXES, V_AXES, MotionEmbedding
from .integration import EXTRA_CHANNELS
from .patch import DEBIAS
from .records import FARTHEST, LOOPS, MIRRORS, ZOOM, Edit
from .resample import moved_grid, resize_grid, rows_at

LARGEST = 1 << 28  # values that an edit may make, 1 GiB: more than what is usually learned
GROWTH = 4  # an edit may make this many times as many values as there are in any case


def mirror(embedding: MotionEmbedding, axis: str = "horizontal") -> MotionEmbedding:
    """Swap left and right, or top and bottom (`vertical`).

    This acts on the grid, so a tensor without spatial axes stays as it is. Raises MotionError when no tensor has any.
    """
    if axis not in MIRRORS:
        raise MotionError(f"The axis to mirror is '{axis}', but it must be one of {', '.join(MIRRORS)}.")
    _check_places(embedding, "mirrored")

    def flip(key: str, m: Tensor) -> Tensor:
        return m.unflatten(0, embedding.grid_of(key)).flip(MIRRORS[axis]).flatten(0, 1)

    def across(x: float, y: float, size: float) -> tuple[float, float, float]:
        return (1 - x, y, size) if axis == "horizontal" else (x, 1 - y, size)

    return _begun(_made(_each(embedding, flip), "mirror", axis=axis), across)


def place(embedding: MotionEmbedding, right: float = 0.0, down: float = 0.0, zoom: float = 1.0) -> MotionEmbedding:
    """Let the motion act elsewhere in the picture: made `zoom` times as large about the picture's middle, and then
    moved by shares of its width and height. What comes in from outside is as at the edge.

    This acts on the grid, bilinear between its positions, so a tensor without spatial axes stays as it is. Raises
    MotionError when no tensor has any, for a shift of more than the whole picture, and for a zoom beyond ZOOM.
    """
    if not (abs(right) <= 1 and abs(down) <= 1 and 1 / ZOOM <= zoom <= ZOOM):  # NaN is none of them
        raise MotionError(
            f"The motion is to be moved by {right},{down} and zoomed by {zoom}, but it can be moved by -1 to 1, in "
            f"shares of the picture, and zoomed by {1 / ZOOM:g} to {ZOOM:g}."
        )
    _check_places(embedding, "moved to another place")

    def move(key: str, m: Tensor) -> Tensor:
        return moved_grid(m, embedding.grid_of(key), right, down, zoom)

    def there(x: float, y: float, size: float) -> tuple[float, float, float]:
        return 0.5 + zoom * (x - 0.5) + right, 0.5 + zoom * (y - 0.5) + down, zoom * size

    return _begun(_made(_each(embedding, move), "place", right=right, down=down, zoom=zoom), there)


def reverse(embedding: MotionEmbedding) -> MotionEmbedding:
    """Play the motion backwards.

    Debiasing by differences comes after, when the embedding is applied, and sees the reversed order: its steps then
    point backwards in time, as they should. Reversing what was `baked` keeps the forward steps: the two differ.
    """
    return _begun(_made(_each(embedding, lambda key, m: m.flip(1)), "reverse"), None)


def retime(embedding: MotionEmbedding, speed: float = 1.0, frames: int | None = None) -> MotionEmbedding:
    """Make the motion faster or slower: in a video of any length it has then run its course after 1/speed of the video,
    and it holds its last frame; below 1, only its first part is seen. frames: how many rows the result has; by default
    as many as before.

    Raises MotionError for a speed that is not positive, or fewer than one frame.
    """
    count = embedding.frames if frames is None else frames
    if not (math.isfinite(speed) and speed > 0) or count < 1:
        raise MotionError(f"The speed is {speed} and frames {count}, but both must be positive; see also reverse.")
    _check_growth(embedding, replace(embedding, frames=count))
    positions = retimed(count, speed)
    changed = replace(_each(embedding, lambda key, m: rows_at(m, positions)), frames=count)
    return _made(changed, "retime", speed=speed, frames=count)


def loop(embedding: MotionEmbedding, how: str = "there_and_back") -> MotionEmbedding:
    """Make the first and the last frame equal, by running forwards and then backwards at double speed, or (`close`) by
    removing the drift, m(t) − t·(m(1) − m(0)), which suits motions that nearly come back."""
    if how not in LOOPS:
        raise MotionError(f"The way to loop is '{how}', but it must be one of {', '.join(LOOPS)}.")

    def close(key: str, m: Tensor) -> Tensor:
        times = torch.linspace(0, 1, m.shape[1]).to(m)[:, None]
        body = m - times * (m[:, -1:] - m[:, :1])
        return torch.cat([body[:, :-1], m[:, :1]], dim=1)  # equal bit for bit

    positions = there_and_back(embedding.frames)
    turned = _each(embedding, close if how == "close" else lambda key, m: rows_at(m, positions))
    return _made(turned, "loop", how=how)


def scale(embedding: MotionEmbedding, factor: float = 1.0, *, qk: float = 1.0, v: float = 1.0) -> MotionEmbedding:
    """Multiply every tensor by factor, and each kind of tensor by its own factor. What is scaled by 0 is left out.
    Raises MotionError for factors that are not finite."""
    factors = {"qk": factor * qk, "v": factor * v}
    if not all(math.isfinite(value) for value in factors.values()):
        raise MotionError(f"The factors to scale by are {factors}, but they must be finite numbers.")
    scaled = {}
    for key, tensor in embedding.tensors.items():
        wanted = factors[key.removesuffix(MAP).rpartition(".")[2]]
        if wanted:  # of a concatenated pair one factor is enough
            scaled[key] = tensor if embedding.integration == "concatenate" and key.endswith(MAP) else wanted * tensor
    return _made(embedding.with_tensors(scaled), "scale", **factors)


def masked(embedding: MotionEmbedding, mask: Tensor) -> MotionEmbedding:
    """Keep the motion to where the mask is: `[h, w]` from 0 to 1, of any size, laid over the picture. Every position is
    multiplied by the mean of the mask over its cell; tensors without spatial axes get them, so that nothing acts
    outside the mask.

    Raises MotionError for anything but such a mask.
    """
    if mask.ndim != 2 or 0 in mask.shape or not bool(((mask >= 0) & (mask <= 1)).all()):
        raise MotionError(f"The mask of shape {list(mask.shape)} should be [h, w] with values from 0 to 1.")
    spread = on_axes(embedding, "full", "2d")

    def cut(key: str, m: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(mask[None].to(m), spread.grid_of(key)).reshape(-1, 1, 1) * m

    return _made(_each(spread, cut), "masked", size=list(mask.shape), share=round(float(mask.mean()), 4))


def baked(embedding: MotionEmbedding, debias: str | None = None) -> MotionEmbedding:
    """Write debias and strengths, which otherwise act when the embedding is applied, into the tensors; the result is
    applied at strength 1 without debias. debias: the one to write, if not the one that the file advises.

    This is for embeddings that are applied in different ways, before they are joined. Differences belong to the number
    of frames they were taken at, and keep the size of their steps when they are resampled in time: retime first.
    """
    usual = usual_patch(embedding)
    name = usual.debias if debias is None else debias
    if name not in DEBIAS:
        raise MotionError(f"debias is '{name}', but it must be one of {', '.join(DEBIAS)}.")
    changed = _each(embedding, lambda key, m: DEBIAS[name](m) if key.endswith(".v") else m)
    changed = scale(changed, qk=usual.strength_qk, v=usual.strength_v)
    result = replace(changed, origin=embedding.origin, advice=embedding.advice)
    result = _made(result, "baked", debias=name, strength_qk=usual.strength_qk, strength_v=usual.strength_v)
    return _applied(result, debias="vanilla", strength_qk=1.0, strength_v=1.0)


def blend(a: MotionEmbedding, b: MotionEmbedding, weight: float = 0.5) -> MotionEmbedding:
    """(1 − weight)·A + weight·B: A at 0, B at 1. Raises MotionError for a weight that is not finite, or when the two do
    not fit each other."""
    if not math.isfinite(weight):
        raise MotionError(f"The weight to blend with is {weight}, but it must be a finite number.")
    return _joined(a, b, lambda x, y: torch.lerp(x, y, weight), "blend", weight=weight)


def add(a: MotionEmbedding, b: MotionEmbedding) -> MotionEmbedding:
    """A + B, both motions at once. Raises MotionError when the two do not fit each other."""
    return _joined(a, b, torch.add, "add")


def subtract(a: MotionEmbedding, b: MotionEmbedding) -> MotionEmbedding:
    """A − B, the motion of A without that of B. Raises MotionError when the two do not fit each other."""
    return _joined(a, b, torch.sub, "subtract")


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
            raise MotionError(f"{_title(owner)} holds no {kind} embeddings, only {owner.holds()}.")
    grids = second.grids | first.grids
    joined = _completed(replace(first, tensors=tensors | values, grids=grids, v_axes=second.v_axes))
    usual, other = usual_patch(qk_of), usual_patch(v_of)
    return _applied(
        _made(joined, "combine", v_of=_about(v_of)),
        strength_qk=usual.strength_qk,
        strength_v=other.strength_v,
        debias=other.debias,
        start=other.start,
        end=other.end,
    )


def region(left: float, top: float, right: float, bottom: float, size: int = 256) -> Tensor:
    """A mask `[size, size]` that is 1 inside a box, whose sides run from 0 to 1 from the picture's upper left corner.

    Raises MotionError for a box without an inside.
    """
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise MotionError(
            f"The region {left},{top},{right},{bottom} is not a box: left < right and top < bottom, all from 0 to "
            f"1, are needed."
        )
    edges = torch.arange(size, dtype=torch.float64) / size
    across, down = (
        ((high - edges).clamp(0, 1 / size) - (low - edges).clamp(0, 1 / size)) * size
        for low, high in ((left, right), (top, bottom))
    )
    return (down[:, None] * across).float()


def retimed(frames: int, speed: float) -> Tensor:
    """Where in the motion each frame is, from 0 to 1."""
    return (torch.arange(frames, dtype=torch.float64) / max(1, frames - 1) * speed).clamp(max=1)


def there_and_back(frames: int) -> Tensor:
    """The same for forwards and backwards again; symmetric bit for bit."""
    steps = torch.arange(frames, dtype=torch.float64)
    return 2 * torch.minimum(steps, steps.flip(0)) / max(1, frames - 1)


def on_axes(embedding: MotionEmbedding, qk_axes: str, v_axes: str) -> MotionEmbedding:
    """The same embedding with these spatial axes, which must be those it has or richer ones."""
    target = replace(embedding, qk_axes=qk_axes, v_axes=v_axes)
    _check_growth(embedding, target)

    def spread(key: str, m: Tensor) -> Tensor:
        h, w = target.grid_of(key)
        return m.expand(h * w, -1, -1) if len(m) == 1 else resize_grid(m, embedding.grid_of(key), (h, w))

    return target.with_tensors(_each(embedding, spread).tensors)


def formed(embedding: MotionEmbedding) -> MotionEmbedding:
    """A concatenated embedding as the added one that it equals, n·W; others as they are."""
    if embedding.integration != "concatenate":
        return embedding
    tensors = {k: m @ embedding.tensors[k + MAP] for k, m in embedding.tensors.items() if not k.endswith(MAP)}
    return replace(embedding, tensors=tensors, integration="add")


def _each(embedding: MotionEmbedding, change: Callable[[str, Tensor], Tensor]) -> MotionEmbedding:
    """All tensors changed except maps, which have neither frames nor grid."""
    return embedding.with_tensors({k: m if k.endswith(MAP) else change(k, m) for k, m in embedding.tensors.items()})


def _alike(a: MotionEmbedding, b: MotionEmbedding) -> tuple[MotionEmbedding, MotionEmbedding]:
    """Both embeddings with one integration, the second on the frames and grids of the first."""
    try:
        b.check_fits(a.backbone)
    except MotionError as error:
        raise MotionError(
            f"{_title(a)} and {_title(b)} were trained for different models ({a.backbone.describe()} and "
            f"{b.backbone.describe()}): join embeddings of one model."
        ) from error
    if a.integration != b.integration:
        a, b = formed(a), formed(b)
    if a.integration != b.integration:
        raise MotionError(
            f"{_title(a)} has the integration {a.integration} and {_title(b)} has {b.integration}: "
            f"they cannot be joined into one; apply both instead."
        )
    grids = {layer: a.grids.get(layer, grid) for layer, grid in b.grids.items()}
    _check_growth(b, replace(b, frames=a.frames, grids=grids))
    return a, b.regrid(a.frames, grids)


def _joined(
    a: MotionEmbedding, b: MotionEmbedding, join: Callable[[Tensor, Tensor], Tensor], edit: str, **arguments: Any
) -> MotionEmbedding:
    """`join` on every pair of tensors; what one of the two lacks is zero, which changes nothing."""
    first, second = (formed(e) for e in _alike(a, b))
    axes = [
        max(getattr(first, name), getattr(second, name), key=order.index)
        for name, order in (("qk_axes", list(QK_AXES)), ("v_axes", list(V_AXES)[::-1]))
    ]
    first, second = on_axes(first, *axes), on_axes(second, *axes)
    result = replace(first, tensors={}, grids=second.grids | first.grids)
    for key in (f"{layer}.{part}" for layer in result.layers for part in PARTS):
        present = [e.tensors[key] for e in (first, second) if key in e.tensors]
        if present:
            zero = torch.zeros_like(present[0])
            result.tensors[key] = join(first.tensors.get(key, zero), second.tensors.get(key, zero))
    return _made(_completed(result), edit, **arguments, other=_about(b))


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


def _check_growth(embedding: MotionEmbedding, target: MotionEmbedding) -> None:
    """Raise MotionError if the tensors would become far too large on the frames and grids of `target`: a small file
    can name a grid of any size."""
    sizes = ((math.prod(target.grid_of(k)), m.shape[2]) for k, m in embedding.tensors.items() if not k.endswith(MAP))
    count = sum(positions * target.frames * channels for positions, channels in sizes)
    if count > max(LARGEST, GROWTH * embedding.numel()):
        raise MotionError(
            f"{_title(embedding)} would grow from {embedding.numel():,} to {count:,} values, for {target.frames} "
            f"frames and its grids, but at most {LARGEST:,} are made: take fewer frames or smaller grids."
        )


def _check_places(embedding: MotionEmbedding, what: str) -> None:
    if all(len(tensor) == 1 for key, tensor in embedding.tensors.items() if not key.endswith(MAP)):
        raise MotionError(f"{_title(embedding)} has no spatial axes ({embedding.holds()}): it cannot be {what}.")


def _title(embedding: MotionEmbedding) -> str:
    return shown(embedding.origin.title or "The embedding")


def _about(embedding: MotionEmbedding) -> dict[str, Any]:
    origin = embedding.origin
    known: dict[str, Any] = {"title": origin.title, "source": origin.source, "prompt": origin.prompt}
    known["made_from"] = [edit.written() for edit in origin.made_from]
    return {name: value for name, value in known.items() if value}


def _made(embedding: MotionEmbedding, edit: str, **arguments: Any) -> MotionEmbedding:
    made_from = (*embedding.origin.made_from, Edit(edit, arguments))
    # The thumbnail would show another motion.
    return replace(embedding, origin=replace(embedding.origin, made_from=made_from, thumbnail=None))


def _begun(
    embedding: MotionEmbedding, moved: Callable[[float, float, float], tuple[float, float, float]] | None
) -> MotionEmbedding:
    """With the place of the first frame's thing moved too; None where it is not known any more."""
    starts = embedding.origin.starts_at
    starts = moved(*starts) if starts and moved is not None else ()
    if max(map(abs, starts), default=0) > FARTHEST:
        starts = ()
    return replace(embedding, origin=replace(embedding.origin, starts_at=starts))


def _applied(embedding: MotionEmbedding, **advice: Any) -> MotionEmbedding:
    """The same embedding with other advice on how to apply it."""
    return replace(embedding, advice=replace(embedding.advice, **advice))
