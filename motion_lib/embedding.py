"""MotionEmbedding: the learned tensors of one motion, per temporal transformer of a backbone.

Motion Inversion (Wang et al., arXiv 2403.20193) learns for every temporal transformer a query-key embedding `[1, f,
c]`, which has no spatial axes and so cannot carry appearance, and one value embedding `[h·w, f, c]` for each of its
two temporal attentions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .errors import MotionError

ATTENTIONS = ("attn1", "attn2")
COMPONENTS = ("both", "qk", "v")
COARSE = 200  # positions of a feature grid


@dataclass(frozen=True)
class TemporalLayer:
    """One temporal transformer: its module name, width in channels, and how many halvings below the latent it works."""

    name: str
    channels: int
    depth: int
    block: Literal["in", "down", "mid", "up"]

    def grid(self, latent_size: tuple[int, int]) -> tuple[int, int]:
        """(h, w) of the features of this layer: every halving rounds up."""
        height, width = latent_size
        for _ in range(self.depth):
            height, width = (height + 1) // 2, (width + 1) // 2
        return height, width


@dataclass(frozen=True)
class Backbone:
    """The temporal layers of a model family; two models with equal layers can share embeddings."""

    family: str
    layers: tuple[TemporalLayer, ...]

    def __getitem__(self, name: str) -> TemporalLayer:
        return next(layer for layer in self.layers if layer.name == name)

    def signature(self) -> dict[str, int]:
        return {layer.name: layer.channels for layer in self.layers}

    def describe(self) -> str:
        """For error messages: the family and its widths, as in 'unet3d (320-640-1280 channels, 17 temporal layers)'."""
        widths = "-".join(str(c) for c in sorted({layer.channels for layer in self.layers}))
        return f"{self.family} ({widths} channels, {len(self.layers)} temporal layers)"

    def select(self, sites: str, latent_size: tuple[int, int] | None = None) -> tuple[TemporalLayer, ...]:
        """The layers that `sites` names.

        `all`: every down and up block (15 in ModelScope). `deep`: the widest of those (5 in ModelScope, 1280 channels).
        `coarse`: those with at most 200 positions at this latent size (height, width), where motion is coarse and files
        stay small: in ModelScope at 512×320 the same 5, in a smaller model or picture more.
        Otherwise a comma-separated list of names or patterns such as `up_blocks.1.*`.
        Raises MotionError when nothing matches.
        """
        usual = tuple(layer for layer in self.layers if layer.block in ("down", "up"))
        if not usual:
            raise MotionError(f"{self.describe()} has no temporal layers in its down and up blocks.")
        if sites == "all":
            return usual
        if sites == "coarse" and latent_size is not None:
            return coarse({layer: layer.grid(latent_size) for layer in usual})
        if sites == "deep":
            widest = max(layer.channels for layer in usual)
            return tuple(layer for layer in usual if layer.channels == widest)
        patterns = [pattern.strip() for pattern in sites.split(",")]
        chosen = tuple(layer for layer in self.layers if any(fnmatch(layer.name, p) for p in patterns))
        if not chosen:
            names = ", ".join(layer.name for layer in usual)
            raise MotionError(
                f"sites is '{sites}', which matches no temporal layer: use all, deep, coarse or names such as {names}."
            )
        return chosen


def coarse(grids: Mapping[TemporalLayer, tuple[int, int]]) -> tuple[TemporalLayer, ...]:
    """The layers with at most COARSE positions, or those with the fewest if all have more."""
    limit = max(COARSE, min(h * w for h, w in grids.values()))
    return tuple(layer for layer, (h, w) in grids.items() if h * w <= limit)


@dataclass(frozen=True)
class MotionEmbedding:
    """tensors: `<layer>.qk` `[1, f, c]`, `<layer>.attn1.v` and `<layer>.attn2.v` `[h·w, f, c]`; either kind may be
    absent. grids: (h, w) per layer. frames: f. details: how it was made, for the file's header."""

    tensors: dict[str, Tensor]
    grids: dict[str, tuple[int, int]]
    frames: int
    backbone: Backbone
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def zeros(
        cls, backbone: Backbone, sites: str, frames: int, latent_size: tuple[int, int], components: str = "both"
    ) -> MotionEmbedding:
        """The embedding that changes nothing, where training begins.

        Raises MotionError for unknown sites or components, or fewer than one frame.
        """
        if frames < 1:
            raise MotionError(f"frames is {frames}, but an embedding needs at least 1.")
        if components not in COMPONENTS:
            raise MotionError(f"components is '{components}', but it must be one of {', '.join(COMPONENTS)}.")
        tensors, grids = {}, {}
        for layer in backbone.select(sites, latent_size):
            grids[layer.name] = h, w = layer.grid(latent_size)
            if components != "v":
                tensors[f"{layer.name}.qk"] = torch.zeros(1, frames, layer.channels)
            if components != "qk":
                for attention in ATTENTIONS:
                    tensors[f"{layer.name}.{attention}.v"] = torch.zeros(h * w, frames, layer.channels)
        return cls(tensors, grids, frames, backbone)

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.grids)

    def numel(self) -> int:
        return sum(t.numel() for t in self.tensors.values())

    def with_tensors(self, tensors: dict[str, Tensor], **changes: Any) -> MotionEmbedding:
        return replace(self, tensors=tensors, **changes)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> MotionEmbedding:
        return self.with_tensors({k: t.to(device=device, dtype=dtype) for k, t in self.tensors.items()})

    def detached(self) -> MotionEmbedding:
        """A copy outside the graph, which further training does not change."""
        return self.with_tensors({k: t.detach().clone() for k, t in self.tensors.items()})

    def only(self, sites: str) -> MotionEmbedding:
        """The part of it at those of its layers that `sites` names (see `Backbone.select`).

        Raises MotionError when none of its layers is among them.
        """
        trained = Backbone(self.backbone.family, tuple(self.backbone[name] for name in self.layers))
        if sites == "coarse":
            chosen = coarse({layer: self.grids[layer.name] for layer in trained.layers})
        else:
            chosen = trained.select(sites)
        names = {layer.name for layer in chosen}
        kept = {k: t for k, t in self.tensors.items() if k.removesuffix(".v").rpartition(".")[0] in names}
        return self.with_tensors(kept, grids={name: grid for name, grid in self.grids.items() if name in names})

    def check_fits(self, backbone: Backbone, what: str = "The motion embedding") -> None:
        """Raise MotionError unless every layer exists in `backbone` with the same width."""
        widths = backbone.signature()
        for name in self.layers:
            if widths.get(name) != self.backbone.signature()[name]:
                has = f"there it has {widths[name]}" if name in widths else "there is no such layer there"
                raise MotionError(
                    f"{what} was trained for {self.backbone.describe()} and does not fit {backbone.describe()}: "
                    f"layer {name} has {self.backbone.signature()[name]} channels, {has}; "
                    f"load a model of the kind it was trained on."
                )

    def resample(self, frames: int, latent_size: tuple[int, int]) -> MotionEmbedding:
        """The same motion for another number of frames or another latent size (height, width).

        Linear in time with first and last frame kept, bilinear on the grid; only trained rows are read.
        Raises MotionError for fewer than one frame.
        """
        if frames < 1:
            raise MotionError(f"frames is {frames}, but an embedding needs at least 1.")
        grids = {name: self.backbone[name].grid(latent_size) for name in self.layers}
        if frames == self.frames and grids == self.grids:
            return self
        tensors = {}
        for key, tensor in self.tensors.items():
            layer, _, kind = key.rpartition(".")
            if kind == "v":
                layer = layer.rpartition(".")[0]
                tensor = _resize_grid(tensor, self.grids[layer], grids[layer])
            tensors[key] = _resize_time(tensor, frames)
        return self.with_tensors(tensors, grids=grids, frames=frames)


def _resize_time(tensor: Tensor, frames: int) -> Tensor:
    """Linear along the frames of `[n, f, c]`."""
    if tensor.shape[1] == frames:
        return tensor
    moved = rearrange(tensor, "n f c -> n c f")
    return rearrange(F.interpolate(moved, size=frames, mode="linear", align_corners=True), "n c f -> n f c")


def _resize_grid(tensor: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Bilinear on the grid of `[h·w, f, c]`."""
    if old == new:
        return tensor
    planes = rearrange(tensor, "(h w) f c -> f c h w", h=old[0])
    return rearrange(F.interpolate(planes, size=new, mode="bilinear", align_corners=False), "f c h w -> (h w) f c")
