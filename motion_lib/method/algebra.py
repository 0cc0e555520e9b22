"""Motions made of one motion. Every function takes an embedding and returns a new one, whose origin says under
`made_from` what was done. For motions made of two see joining.py.

What acts on time and grid is exact on the tensors. docs/edits.md measures what videos make of it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MotionError
from .application import usual_patch
from .editing import along, applied, at_ends, check_growth, check_places, each, made, on_axes
from .embedding import MAP, MotionEmbedding
from .patch import DEBIAS
from .records import LOOPS, MIRRORS, ZOOM
from .resample import moved_grid, rows_at


def mirror(embedding: MotionEmbedding, axis: str = "horizontal") -> MotionEmbedding:
    """Swap left and right, or top and bottom (`vertical`).

    This acts on the grid, so a tensor without spatial axes stays as it is. Raises MotionError when no tensor has any.
    """
    if axis not in MIRRORS:
        raise MotionError(f"The axis to mirror is '{axis}', but it must be one of {', '.join(MIRRORS)}.")
    check_places(embedding, "mirrored")

    def flip(key: str, m: Tensor) -> Tensor:
        return m.unflatten(0, embedding.grid_of(key)).flip(MIRRORS[axis]).flatten(0, 1)

    def across(x: float, y: float, size: float) -> tuple[float, float, float]:
        return (1 - x, y, size) if axis == "horizontal" else (x, 1 - y, size)

    return along(made(each(embedding, flip), "mirror", axis=axis), across)


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
    check_places(embedding, "moved to another place")

    def move(key: str, m: Tensor) -> Tensor:
        return moved_grid(m, embedding.grid_of(key), right, down, zoom)

    def there(x: float, y: float, size: float) -> tuple[float, float, float]:
        return 0.5 + zoom * (x - 0.5) + right, 0.5 + zoom * (y - 0.5) + down, zoom * size

    return along(made(each(embedding, move), "place", right=right, down=down, zoom=zoom), there)


def reverse(embedding: MotionEmbedding) -> MotionEmbedding:
    """Play the motion backwards.

    Debiasing by differences comes after, when the embedding is applied, and sees the reversed order: its steps then
    point backwards in time, as they should. Reversing what was `baked` keeps the forward steps: the two differ.
    """
    turned = made(each(embedding, lambda key, m: m.flip(1)), "reverse")
    return at_ends(turned, embedding.origin.ends_at, embedding.origin.starts_at)


def retime(embedding: MotionEmbedding, speed: float = 1.0, frames: int | None = None) -> MotionEmbedding:
    """Make the motion faster or slower: in a video of any length it has then run its course after 1/speed of the video,
    and it holds its last frame; below 1, only its first part is seen. frames: how many rows the result has; by default
    as many as before.

    Raises MotionError for a speed that is not positive, or fewer than one frame.
    """
    count = embedding.frames if frames is None else frames
    if not (math.isfinite(speed) and speed > 0) or count < 1:
        raise MotionError(f"The speed is {speed} and frames {count}, but both must be positive; see also reverse.")
    check_growth(embedding, replace(embedding, frames=count))
    positions = retimed(count, speed)
    changed = replace(each(embedding, lambda key, m: rows_at(m, positions)), frames=count)
    ends = embedding.origin.ends_at if speed >= 1 else ()
    return at_ends(made(changed, "retime", speed=speed, frames=count), embedding.origin.starts_at, ends)


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
    turned = each(embedding, close if how == "close" else lambda key, m: rows_at(m, positions))
    starts = embedding.origin.starts_at
    return at_ends(made(turned, "loop", how=how), starts, starts)


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
    return made(embedding.with_tensors(scaled), "scale", **factors)


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

    return made(each(spread, cut), "masked", size=list(mask.shape), share=round(float(mask.mean()), 4))


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
    changed = each(embedding, lambda key, m: DEBIAS[name](m) if key.endswith(".v") else m)
    changed = scale(changed, qk=usual.strength_qk, v=usual.strength_v)
    result = replace(changed, origin=embedding.origin, advice=embedding.advice)
    result = made(result, "baked", debias=name, strength_qk=usual.strength_qk, strength_v=usual.strength_v)
    return applied(result, debias="vanilla", strength_qk=1.0, strength_v=1.0)


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
