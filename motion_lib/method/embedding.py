"""MotionEmbedding: the learned tensors of one motion, per site of a backbone.

Motion Inversion (Wang et al., arXiv 2403.20193) learns for every temporal transformer a query-key embedding `[1, f,
c]`, which has no spatial axes and so cannot carry appearance, and one value embedding `[h·w, f, c]` for each of its
two temporal attentions. A model whose attention sees space and time at once has one self-attention in each of its
blocks, and learns the same there: a query-key row per latent frame and one value embedding. Which of them there are, on
which spatial axes and how they join the layer's input can be chosen (COMPONENTS, QK_AXES, V_AXES, INTEGRATIONS); every
tensor keeps to its own grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import MotionError, shown
from .integration import EXTRA_CHANNELS, INTEGRATIONS
from .records import Advice, Origin
from .resample import resize_grid, resize_time

Grid = tuple[int, int]  # (height, width)
COARSE = 200  # positions of a feature grid
COARSEST = 128  # positions of a grid of v_axes `coarse`


def _halved(grid: Grid) -> Grid:
    """As every halving in a model does, rounded up."""
    return (grid[0] + 1) // 2, (grid[1] + 1) // 2


def _thinned(grid: Grid) -> Grid:
    while grid[0] * grid[1] > COARSEST:
        grid = _halved(grid)
    return grid


ATTENTIONS = ("attn1", "attn2")
PARTS = ("qk", *(f"{attention}.v" for attention in ATTENTIONS))
# What is learned, by the kinds of tensors; `none` stands for the unmodified model in comparisons.
COMPONENTS: dict[str, tuple[str, ...]] = {"both": ("qk", "v"), "qk": ("qk",), "v": ("v",), "none": ()}
# The grid that a tensor lives on, by that of its site.
QK_AXES: dict[str, Callable[[Grid], Grid]] = {
    "none": lambda grid: (1, 1),
    "partial": lambda grid: (4, 4),
    "full": lambda grid: grid,
}
V_AXES: dict[str, Callable[[Grid], Grid]] = {"2d": lambda grid: grid, "coarse": _thinned, "1d": lambda grid: (1, 1)}
VALUES_ON = {"1d": "value embeddings without spatial axes", "coarse": "value embeddings on a coarse grid"}
MAP = ".map"  # ends the name of the linear map `[k, c]` of a concatenated tensor `[n, f, k]`

# The stages of a UNet, whose sites have two attentions over the frames, and the thirds of a stack of equal blocks,
# whose sites have one over frames and places.
Block = Literal["in", "down", "mid", "up", "early", "middle", "late"]
STAGES: tuple[Block, ...] = ("in", "down", "mid", "up")
THIRDS: tuple[Block, ...] = ("early", "middle", "late")
COARSE_SITES = ("coarse", "coarse_up")
# What `sites` may say besides names, by the kind of model.
UNET_GROUPS, STACK_GROUPS = ("all", "deep", *COARSE_SITES), ("all", *THIRDS)


@dataclass(frozen=True)
class Site:
    """A place in a model where motions act: its module's name, its width in channels, how many halvings below the
    latent it works, and in which of STAGES or THIRDS it stands."""

    name: str
    channels: int
    depth: int
    block: Block

    @property
    def attentions(self) -> tuple[str, ...]:
        """Those whose values a motion acts on."""
        return ATTENTIONS if self.block in STAGES else ATTENTIONS[:1]

    @property
    def parts(self) -> tuple[str, ...]:
        """The tensors that there can be, as their names end."""
        return "qk", *(f"{attention}.v" for attention in self.attentions)

    def grid(self, latent_size: Grid) -> Grid:
        """(h, w) of the features at this site: every halving rounds up."""
        for _ in range(self.depth):
            latent_size = _halved(latent_size)
        return latent_size


@dataclass(frozen=True)
class Backbone:
    """The sites of a model family; two models with equal sites can share embeddings."""

    family: str
    layers: tuple[Site, ...]

    def __getitem__(self, name: str) -> Site:
        return next(layer for layer in self.layers if layer.name == name)

    @property
    def stacked(self) -> bool:
        """Is it a stack of equal blocks, and not a UNet?"""
        return any(layer.block in THIRDS for layer in self.layers)

    def signature(self) -> dict[str, int]:
        return {layer.name: layer.channels for layer in self.layers}

    def describe(self) -> str:
        """For error messages: the family and its widths, as in 'unet3d (320-640-1280 channels, 17 temporal layers)'."""
        widths = shown("-".join(str(c) for c in sorted({layer.channels for layer in self.layers})), 60)
        kind = "blocks" if self.stacked else "temporal layers"
        return f"{self.family} ({widths} channels, {len(self.layers)} {kind})"

    def select(self, sites: str, latent_size: Grid | None = None) -> tuple[Site, ...]:
        """The layers that `sites` names.

        `all`: every down and up block of a UNet (15 in ModelScope), or all blocks of a stack. Of a stack also `early`,
        `middle` and `late`: a third of its blocks. Of a UNet also `deep`: the widest of those (5 in ModelScope, 1280
        channels). `coarse`: those with at most 200 positions at this latent size (height, width), where motion is
        coarse and files stay small: in ModelScope at 512×320 the same 5, in a smaller model or picture more.
        `coarse_up`: those of them in up blocks.
        Otherwise a comma-separated list of names or patterns such as `up_blocks.1.*`.
        Raises MotionError when nothing matches.
        """
        usual = self.layers if self.stacked else tuple(layer for layer in self.layers if layer.block in ("down", "up"))
        if not usual:
            raise MotionError(f"{self.describe()} has no temporal layers in its down and up blocks.")
        if sites == "all":
            return usual
        if self.stacked and sites in THIRDS:
            chosen = tuple(layer for layer in usual if layer.block == sites)
        elif not self.stacked and sites in COARSE_SITES and latent_size is not None:
            return coarse({layer: layer.grid(latent_size) for layer in usual}, sites)
        elif not self.stacked and sites == "deep":
            widest = max(layer.channels for layer in usual)
            chosen = tuple(layer for layer in usual if layer.channels == widest)
        else:
            patterns = [pattern.strip() for pattern in sites.split(",")]
            chosen = tuple(layer for layer in self.layers if any(fnmatch(layer.name, p) for p in patterns))
        if not chosen:
            groups = ", ".join(STACK_GROUPS if self.stacked else UNET_GROUPS)
            names = ", ".join(layer.name for layer in usual)
            raise MotionError(
                f"sites is '{sites}', which matches no {'block' if self.stacked else 'temporal layer'} of a "
                f"{self.family} model: use {groups} or names such as {names}."
            )
        return chosen


def stack(family: str, width: int, count: int) -> Backbone:
    """A stack of so many blocks, named `blocks.0` and so on, which work at patches of 2×2 latent pixels."""
    return Backbone(family, tuple(Site(f"blocks.{i}", width, 1, THIRDS[3 * i // count]) for i in range(count)))


def coarse(grids: Mapping[Site, Grid], sites: str) -> tuple[Site, ...]:
    """The layers with at most COARSE positions, or those with the fewest if all have more; for the sites `coarse_up`
    only those in up blocks.

    Raises MotionError when none is left.
    """
    limit = max(COARSE, min(h * w for h, w in grids.values()))
    chosen = tuple(
        layer for layer, (h, w) in grids.items() if h * w <= limit and (sites == "coarse" or layer.block == "up")
    )
    if not chosen:
        raise MotionError(f"sites is '{sites}', but there is no such layer in an up block: use coarse.")
    return chosen


def layer_of(key: str) -> str:
    """The layer that a tensor belongs to, by its name."""
    name = key.removesuffix(MAP)
    return next(name.removesuffix(f".{part}") for part in PARTS if name.endswith(f".{part}"))


@dataclass(frozen=True)
class MotionEmbedding:
    """tensors: `<layer>.qk`, `<layer>.attn1.v` and, where there are two attentions, `<layer>.attn2.v`, each
    `[positions, f, c]` on its own grid (see `grid_of`): by default one position for qk and h·w for v; either kind may
    be absent. Concatenated ones are `[positions, f, k]` and have a map `[k, c]` beside them, `<tensor>.map`. grids:
    (h, w) per layer. frames: f, of latents. origin, advice: where it comes from and how it is to be applied, as its
    file says."""

    tensors: dict[str, Tensor]
    grids: dict[str, tuple[int, int]]
    frames: int
    backbone: Backbone
    origin: Origin = field(default_factory=Origin)
    advice: Advice = field(default_factory=Advice)
    integration: str = "add"
    qk_axes: str = "none"
    v_axes: str = "2d"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("integration", self.integration, INTEGRATIONS),
            ("qk_axes", self.qk_axes, QK_AXES),
            ("v_axes", self.v_axes, V_AXES),
        ):
            if value not in known:
                raise MotionError(f"{name} is '{shown(value, 60)}', but it must be one of {', '.join(known)}.")

    @classmethod
    def zeros(
        cls,
        backbone: Backbone,
        sites: str,
        frames: int,
        latent_size: tuple[int, int],
        components: str = "both",
        *,
        integration: str = "add",
        qk_axes: str = "none",
        v_axes: str = "2d",
        seed: int = 0,
        rank: int = EXTRA_CHANNELS,
    ) -> MotionEmbedding:
        """The embedding that changes nothing, where training begins.

        Of a concatenated one only the maps are zero: its `rank` extra channels are Gaussian of variance 1/rank, drawn
        from `seed`, since two zero factors would have no gradient.
        Raises MotionError for an unknown choice, or fewer than one frame or extra channel.
        """
        for name, number in (("frames", frames), ("rank", rank)):
            if number < 1:
                raise MotionError(f"{name} is {number}, but an embedding needs at least 1.")
        if components not in COMPONENTS:
            raise MotionError(f"components is '{components}', but it must be one of {', '.join(COMPONENTS)}.")
        grids = {layer.name: layer.grid(latent_size) for layer in backbone.select(sites, latent_size)}
        empty = cls({}, grids, frames, backbone, integration=integration, qk_axes=qk_axes, v_axes=v_axes)
        shapes = {k: s for k, s in empty.shapes(rank).items() if k.removesuffix(MAP).endswith(COMPONENTS[components])}
        tensors = {key: torch.zeros(shape) for key, shape in shapes.items()}
        if integration == "concatenate":
            generator = torch.Generator().manual_seed(seed)
            for key, tensor in tensors.items():
                if not key.endswith(MAP):
                    tensor.normal_(std=tensor.shape[2] ** -0.5, generator=generator)
        return empty.with_tensors(tensors)

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.grids)

    def grid_of(self, key: str) -> tuple[int, int]:
        """(h, w) of the grid that a tensor of this name lives on."""
        axes = QK_AXES[self.qk_axes] if key.endswith("qk") else V_AXES[self.v_axes]
        return axes(self.grids[layer_of(key)])

    def shapes(self, extra_channels: int = EXTRA_CHANNELS) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor there can be, by name."""
        found: dict[str, tuple[int, ...]] = {}
        widths = self.backbone.signature()
        for key in (f"{layer}.{part}" for layer in self.layers for part in self.backbone[layer].parts):
            (h, w), width = self.grid_of(key), widths[layer_of(key)]
            found[key] = (h * w, self.frames, width)
            if self.integration == "concatenate":
                found |= {key: (h * w, self.frames, extra_channels), key + MAP: (extra_channels, width)}
        return found

    def holds(self) -> str:
        """In words: 'query-key and value embeddings', with what is unusual about them."""
        names = {"qk": "query-key", "v": "value"}
        kinds = [text for kind, text in names.items() if any(key.endswith(f".{kind}") for key in self.tensors)]
        words = [f"{' and '.join(kinds) or 'no'} embeddings"]
        words += [] if self.integration == "add" else [f"integration {self.integration}"]
        words += [] if self.qk_axes == "none" else [f"spatial axes of the query-key embeddings: {self.qk_axes}"]
        words += [VALUES_ON[self.v_axes]] if self.v_axes in VALUES_ON else []
        return ", ".join(words)

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
        if sites in COARSE_SITES and not trained.stacked:
            chosen = coarse({layer: self.grids[layer.name] for layer in trained.layers}, sites)
        else:
            chosen = trained.select(sites)
        names = {layer.name for layer in chosen}
        kept = {key: tensor for key, tensor in self.tensors.items() if layer_of(key) in names}
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
        return self.regrid(frames, {name: self.backbone[name].grid(latent_size) for name in self.layers})

    def regrid(self, frames: int, grids: Mapping[str, tuple[int, int]]) -> MotionEmbedding:
        """The same with the grid (h, w) of every layer given."""
        if frames == self.frames and grids == self.grids:
            return self
        empty = replace(self, tensors={}, grids=dict(grids), frames=frames)
        tensors = {
            key: tensor
            if key.endswith(MAP)
            else resize_time(resize_grid(tensor, self.grid_of(key), empty.grid_of(key)), frames)
            for key, tensor in self.tensors.items()
        }
        return empty.with_tensors(tensors)
