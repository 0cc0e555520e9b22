"""MotionPatch: how an embedding acts on attention over frames. Data only; it is given to every call of a model.

    TA(F) = softmax( Wq(F + s·m_qk) · Wk(F + s·m_qk)ᵀ / √d ) · Wv(F + γ·m_v)

with F the layer's normalised input, s and γ the two strengths (Motion Inversion, arXiv 2403.20193, eq. 3 and 4); for
other ways to join F and m see integration.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from ..errors import MotionError
from .curves import Curve, check_curve, factor_at
from .embedding import MAP, MotionEmbedding
from .integration import INTEGRATIONS
from .resample import resize_grid


def vanilla(m: Tensor) -> Tensor:
    """The value embedding as trained."""
    return m


def normalize(m: Tensor) -> Tensor:
    """The value embedding without its mean over frames."""
    return m - m.mean(dim=1, keepdim=True)


def difference(m: Tensor) -> Tensor:
    """m̃[1] = m[1], m̃[j] = m[j] − m[j−1]: what does not change over time, such as appearance, is removed (eq. 5)."""
    return torch.cat([m[:, :1], m.diff(dim=1)], dim=1)


def windowed_difference(m: Tensor, window: int) -> Tensor:
    """Each frame without the mean of those before it in a window that ends with it: m̃[1] = m[1] and
    m̃[j] = m[j] − mean(m[i], max(1, j − window + 1) ≤ i < j). Window 2 is eq. 5."""
    before = torch.zeros_like(m)
    for lag in range(1, window):
        before[:, lag:] += m[:, :-lag]
    count = torch.arange(m.shape[1], device=m.device).clamp(1, window - 1)
    return m - before / count[:, None]


DEBIAS: dict[str, Callable[[Tensor], Tensor]] = {
    "vanilla": vanilla,
    "normalize": normalize,
    "difference": difference,
    "difference3": partial(windowed_difference, window=3),
    "difference5": partial(windowed_difference, window=5),
}


# In models with two experts, as Wan 2.2 has one for high and one for low noise: which of them a motion acts in.
EXPERTS = ("high_noise", "low_noise", "both")


@dataclass(frozen=True)
class MotionPatch:
    """An embedding with its strengths, each of which leaves its part out, bit for bit, at 0."""

    embedding: MotionEmbedding
    strength_qk: float = 1.0
    """How strongly the query-key embedding acts, which says when things move and holds no appearance: 1 is as trained,
    0 leaves it out."""
    strength_v: float = 1.0
    """How strongly the value embedding acts (γ), which says where things move: 1 is as trained, 0 leaves it out. Lower
    it when the reference's look shows."""
    debias: str = "vanilla"
    """What is taken out of the value embedding so that less appearance leaks. vanilla takes out nothing, normalize the
    mean over the frames, and difference everything that does not change from frame to frame; difference3 and
    difference5 compare each frame with the mean of the 2 or 4 frames before it."""
    start: float = 0.0
    """The point of sampling at which the motion begins to act: 0 is pure noise. Motion is decided early."""
    end: float = 1.0
    """The point of sampling at which the motion stops acting: 1 is the finished video. The later steps are left to the
    prompt alone."""
    curve: Curve = ()
    """Factors on both strengths over sampling, as position:factor pairs with positions from 0 (pure noise) to 1;
    0:1,0.5:0.2 fades the motion out."""
    frame_curve: Curve = ()
    """Factors on both strengths over the frames of the video, as position:factor pairs with positions from 0 to 1;
    0:0,0.5:1 lets the motion set in."""
    expert: str | None = None
    """Which expert of a model with two, such as Wan 2.2, has the motion: high_noise, low_noise or both; without one,
    the expert that learned it. Other models take no notice."""

    def __post_init__(self) -> None:
        if self.debias not in DEBIAS:
            raise MotionError(f"debias is '{self.debias}', but it must be one of {', '.join(DEBIAS)}.")
        if self.expert is not None and self.expert not in EXPERTS:
            raise MotionError(f"expert is '{self.expert}', but it must be one of {', '.join(EXPERTS)}.")
        for name in ("strength_qk", "strength_v"):
            if not math.isfinite(getattr(self, name)):
                raise MotionError(f"{name} is {getattr(self, name)}, but it must be a finite number.")
        if not 0 <= self.start <= self.end <= 1:
            raise MotionError(f"start {self.start} and end {self.end} must satisfy 0 ≤ start ≤ end ≤ 1.")
        check_curve("curve", self.curve)
        check_curve("frame_curve", self.frame_curve)

    @property
    def constant(self) -> bool:
        """Does it act alike in all of sampling?"""
        return (self.start, self.end, self.curve) == (0.0, 1.0, ())

    def acts_at(self, progress: float) -> bool:
        return self.start <= progress <= self.end

    def at(self, prepared: PreparedPatch, progress: float) -> PreparedPatch | None:
        """`prepared` as it acts at this point of sampling; None where it does not."""
        factor = factor_at(self.curve, progress)
        return prepared.scaled(factor) if factor and self.acts_at(progress) else None

    def prepare(
        self, frames: int, latent_size: tuple[int, int], device: torch.device | str, dtype: torch.dtype
    ) -> PreparedPatch:
        """What joins the input of the attention layers for videos of this shape: resampled, debiased, led through the
        map where there is one, scaled, on the device."""
        embedding = self.embedding.to(device).resample(frames, latent_size)
        over_frames = [factor_at(self.frame_curve, j / max(1, frames - 1)) for j in range(frames)]

        def ready(layer: str, part: str, strength: float, debias: Callable[[Tensor], Tensor]) -> Tensor | None:
            key = f"{layer}.{part}"
            m = embedding.tensors.get(key)
            if m is None or not strength:
                return None
            m = debias(m)
            if len(m) > 1:
                m = resize_grid(m, embedding.grid_of(key), embedding.grids[layer])
            if (weights := embedding.tensors.get(key + MAP)) is not None:
                m = m @ weights
            if self.frame_curve:
                m = m.new_tensor(over_frames)[:, None] * m
            return (m if strength == 1 else strength * m).to(device, dtype)

        query_key, value = {}, {}
        for layer in embedding.layers:
            if (m := ready(layer, "qk", self.strength_qk, vanilla)) is not None:
                query_key[layer] = m
            for attention in embedding.backbone[layer].attentions:
                if (m := ready(layer, f"{attention}.v", self.strength_v, DEBIAS[self.debias])) is not None:
                    value[layer, attention] = m
        learned = embedding.origin.settings.get("expert")
        expert = self.expert or (learned if learned in EXPERTS else EXPERTS[0])
        return PreparedPatch(query_key, value, embedding.integration, expert)


@dataclass(frozen=True)
class PreparedPatch:
    """query_key per layer and value per (layer, attention): `[1, f, c]`, or `[h·w, f, c]` of the layer's grid.
    integration: how they join the layer's input. expert: one of EXPERTS."""

    query_key: dict[str, Tensor] = field(default_factory=dict)
    value: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    integration: str = "add"
    expert: str = EXPERTS[0]

    def acts_in(self, expert: str) -> bool:
        return self.expert in (expert, "both")

    def acts_on(self, layer: str) -> bool:
        return layer in self.query_key or any(layer == patched for patched, _ in self.value)

    def query_key_input(self, layer: str, hidden: Tensor) -> Tensor:
        """What Wq and Wk get, of their input `[(b h w), f, c]` with the videos outermost."""
        return self._joined(hidden, self.query_key.get(layer))

    def value_input(self, layer: str, attention: str, hidden: Tensor) -> Tensor:
        """What Wv gets, of its input `[(b h w), f, c]` with the videos outermost."""
        return self._joined(hidden, self.value.get((layer, attention)))

    def _joined(self, hidden: Tensor, m: Tensor | None) -> Tensor:
        if m is None:
            return hidden
        join = INTEGRATIONS[self.integration]
        return join(hidden, m) if len(m) == 1 else join(hidden.unflatten(0, (-1, len(m))), m).flatten(0, 1)

    def each(self, change: Callable[[Tensor], Tensor]) -> PreparedPatch:
        return replace(
            self,
            query_key={key: change(m) for key, m in self.query_key.items()},
            value={key: change(m) for key, m in self.value.items()},
        )

    def scaled(self, factor: float) -> PreparedPatch:
        """Both strengths multiplied."""
        return self if factor == 1 else self.each(lambda m: factor * m)

    def window(self, frames: Tensor) -> PreparedPatch:
        """The rows of these frames (their numbers, on the device): what acts on a part of the video."""
        return self.each(lambda m: m.index_select(1, frames))
