"""Value embeddings in few bits. What moves a video hardly needs more: docs/edits.md has the measurement.

Every row `[c]` of a tensor `[n, f, c]` is its root mean square, in half precision, times one of 2^bits levels per
value. The levels are found by Lloyd's algorithm (IEEE Trans. Inf. Theory 28, 1982) on the embedding's own values and
stored beside the codes, so that reading needs to know nothing but the number of bits.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import MotionError, shown

BITS = (2, 4, 8)
LEVELS, CODES, SCALES = "levels", ".codes", ".scales"
SAMPLE = 1 << 18  # values on which the levels are found
ROUNDS = 300


def pack(tensors: Mapping[str, Tensor], bits: int) -> dict[str, Tensor]:
    """Every tensor with more than one position as `<key>.codes` uint8 `[n, f, c·bits/8]` and `<key>.scales` `[n, f]`;
    the others, and those whose rows do not fill whole bytes, as they are. `levels`: `[2^bits]`.

    Raises MotionError for a number of bits that is not one of BITS.
    """
    if bits not in BITS:
        raise MotionError(f"bits is {bits}, but it must be one of {', '.join(map(str, BITS))}.")
    chosen = {k: t for k, t in tensors.items() if t.ndim == 3 and len(t) > 1 and t.shape[2] * bits % 8 == 0}
    if not chosen:
        return dict(tensors)
    scales = {k: t.float().square().mean(dim=2).sqrt().half() for k, t in chosen.items()}
    plain = {k: _normal(t, scales[k]) for k, t in chosen.items()}
    levels = lloyd(torch.cat([t.flatten() for t in plain.values()]), 2**bits)
    packed = {LEVELS: levels, **{k: t for k, t in tensors.items() if k not in chosen}}
    for key, values in plain.items():
        codes = torch.bucketize(values, (levels[1:] + levels[:-1]) / 2).to(torch.uint8)
        packed |= {key + CODES: _join(codes, bits), key + SCALES: scales[key]}
    return packed


def unpack(name: str, tensors: Mapping[str, Tensor], bits: int) -> dict[str, Tensor]:
    """The tensors in float32; raises MotionError, naming the file `name`, for what `pack` cannot have written."""
    shapes = unpacked_shapes(name, {key: tuple(t.shape) for key, t in tensors.items()}, bits)
    plain = {}
    for key in shapes:
        if key in tensors:
            plain[key] = tensors[key]
            continue
        codes, scales, levels = tensors[key + CODES], tensors[key + SCALES], tensors[LEVELS]
        if codes.dtype != torch.uint8:
            raise MotionError(f"{name}: the codes of the compressed tensor {shown(key)} are not bytes.")
        plain[key] = levels.float()[_split(codes, bits).int()] * scales.float()[..., None]
    return plain


def unpacked_shapes(name: str, shapes: Mapping[str, tuple[int, ...]], bits: int) -> dict[str, tuple[int, ...]]:
    """The shapes that `unpack` makes of these; raises MotionError, naming the file `name`, where they do not fit each
    other."""
    plain = {k: s for k, s in shapes.items() if k != LEVELS and not k.endswith((CODES, SCALES))}
    packed = [key for key in shapes if key not in plain and key != LEVELS]
    if packed and shapes.get(LEVELS) != (2**bits,):
        raise MotionError(f"{name}: the header field compression is {bits}, but there are no levels that fit it.")
    for key in dict.fromkeys(k.removesuffix(CODES).removesuffix(SCALES) for k in packed):
        if key in plain:
            raise MotionError(f"{name} holds the tensor {shown(key)} twice, compressed and as it is.")
        codes, scales = shapes.get(key + CODES), shapes.get(key + SCALES)
        if codes is None or scales is None:
            raise MotionError(f"{name}: the codes or the scales of the compressed tensor {shown(key)} are missing.")
        if len(codes) != 3 or scales != codes[:2]:
            raise MotionError(f"{name}: codes and scales of the compressed tensor {shown(key)} do not fit each other.")
        plain[key] = (*codes[:2], codes[2] * 8 // bits)
    return plain


def lloyd(values: Tensor, count: int) -> Tensor:
    """`count` ascending levels that stand for values `[m]` with little mean squared error."""
    part = values[:: max(1, len(values) // SAMPLE)].sort().values
    levels = torch.linspace(float(part[0]), float(part[-1]), count).to(values)
    total = torch.cat([part.new_zeros(1, dtype=torch.float64), part.double().cumsum(0)])
    for _ in range(ROUNDS):
        edges = torch.searchsorted(part, (levels[1:] + levels[:-1]) / 2)
        ends = torch.cat([edges.new_zeros(1), edges, edges.new_tensor([len(part)])])
        sums, sizes = total[ends].diff(), ends.diff()
        levels = torch.where(sizes > 0, sums / sizes.clamp(min=1), levels.double()).to(values.dtype)
    return levels.sort().values


def _normal(tensor: Tensor, scale: Tensor) -> Tensor:
    """Rows of root mean square 1; rows of zeros stay so."""
    return tensor.float() / torch.where(scale > 0, scale.float(), 1.0)[..., None]


def _join(codes: Tensor, bits: int) -> Tensor:
    """8/bits codes in every byte, the first in the lowest bits."""
    parts = codes.unflatten(-1, (-1, 8 // bits))
    shifts = torch.arange(0, 8, bits)
    return (parts.int() << shifts).sum(dim=-1).to(torch.uint8)


def _split(packed: Tensor, bits: int) -> Tensor:
    return ((packed[..., None] >> torch.arange(0, 8, bits, dtype=torch.uint8)) & (2**bits - 1)).flatten(-2)
