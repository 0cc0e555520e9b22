"""MotionPatch: how an embedding acts on temporal attention. Data only; it is given to every call of a model.

    TA(F) = softmax( Wq(F + s·m_qk) · Wk(F + s·m_qk)ᵀ / √d ) · Wv(F + γ·m_v)

with F the layer's normalised input, s and γ the two strengths (Motion Inversion, arXiv 2403.20193, eq. 3 and 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .embedding import ATTENTIONS, MotionEmbedding
from .errors import MotionError


def vanilla(m: Tensor) -> Tensor:
    """The value embedding as trained."""
    return m


def normalize(m: Tensor) -> Tensor:
    """Without its mean over frames."""
    return m - m.mean(dim=1, keepdim=True)


def difference(m: Tensor) -> Tensor:
    """m̃[1] = m[1], m̃[j] = m[j] − m[j−1]: what does not change over time, such as appearance, goes (eq. 5)."""
    return torch.cat([m[:, :1], m.diff(dim=1)], dim=1)


DEBIAS: dict[str, Callable[[Tensor], Tensor]] = {
    "vanilla": vanilla,
    "normalize": normalize,
    "difference": difference,
}


@dataclass(frozen=True)
class MotionPatch:
    """An embedding with its strengths.

    strength_qk, strength_v (γ): 0 leaves that part out, bit for bit. debias: one of DEBIAS, applied to the value
    embedding. start, end: the part of sampling in which the patch acts, 0 at pure noise and 1 at the clean end.
    """

    embedding: MotionEmbedding
    strength_qk: float = 1.0
    strength_v: float = 1.0
    debias: str = "vanilla"
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if self.debias not in DEBIAS:
            raise MotionError(f"debias is '{self.debias}', but it must be one of {', '.join(DEBIAS)}.")
        for name in ("strength_qk", "strength_v"):
            if not math.isfinite(getattr(self, name)):
                raise MotionError(f"{name} is {getattr(self, name)}, but it must be a finite number.")
        if not 0 <= self.start <= self.end <= 1:
            raise MotionError(f"start {self.start} and end {self.end} must satisfy 0 ≤ start ≤ end ≤ 1.")

    def acts_at(self, progress: float) -> bool:
        return self.start <= progress <= self.end

    def prepare(
        self, frames: int, latent_size: tuple[int, int], device: torch.device | str, dtype: torch.dtype
    ) -> PreparedPatch:
        """What the attention layers add for videos of this shape: resampled, debiased, scaled, on the device."""
        embedding = self.embedding.resample(frames, latent_size)
        debias = DEBIAS[self.debias]
        query_key, value = {}, {}
        for layer in embedding.layers:
            if self.strength_qk and (m := embedding.tensors.get(f"{layer}.qk")) is not None:
                query_key[layer] = (self.strength_qk * m).to(device, dtype)
            for attention in ATTENTIONS if self.strength_v else ():
                if (m := embedding.tensors.get(f"{layer}.{attention}.v")) is not None:
                    value[layer, attention] = (self.strength_v * debias(m)).to(device, dtype)
        return PreparedPatch(query_key, value)


@dataclass(frozen=True)
class PreparedPatch:
    """query_key: `[1, f, c]` per layer; value: `[h·w, f, c]` per (layer, attention)."""

    query_key: dict[str, Tensor] = field(default_factory=dict)
    value: dict[tuple[str, str], Tensor] = field(default_factory=dict)

    def query_key_input(self, layer: str, hidden: Tensor) -> Tensor:
        """Add to the input of Wq and Wk, `[(b h w), f, c]`."""
        m = self.query_key.get(layer)
        return hidden if m is None else hidden + m

    def value_input(self, layer: str, attention: str, hidden: Tensor) -> Tensor:
        """Add to the input of Wv, `[(b h w), f, c]` with the videos outermost."""
        m = self.value.get((layer, attention))
        return hidden if m is None else (hidden.unflatten(0, (-1, len(m))) + m).flatten(0, 1)
