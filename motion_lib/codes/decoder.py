"""From codes to a motion embedding of the frozen model.

A value embedding `[h·w, f, c]` says of every place and frame what joins the features there. Trained ones are of low
rank: of those of the bundled figure eight, 32 of 80 or 112 directions hold 93 to 96 % (docs/codes.md). So the decoder
makes m = S·A + G·B for every tensor, with dictionaries A `[s, c]` and B `[r, c]` that all motions share.
S `[h·w, f, s]` is how each place lies to the object, as far as the heads read it, because an embedding acts above all
around it; G `[h·w, f, r]` is learned. A and B are zero at the start, so that an untrained decoder changes nothing.
Without S, 80 steps of learning two motions brought less than training their embeddings brings in 20.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..method.embedding import Grid, MotionEmbedding, layer_of
from ..method.patch import PreparedPatch
from .design import GROUPS, Design
from .encoders import Block, drawn

OCTAVES = 4  # of the waves that a place is described by
LAGS = (-1, 0, 1)  # frames
REACHES = (0.7, 1.5, 3.0)  # sizes of the object
SEEN = 3 * len(REACHES) * len(LAGS)
MOVED = 7  # numbers in which `moved_by` says what the object does
PLACE_WIDTH = 160


def described_places(grid: Grid) -> Tensor:
    """Every place of a grid (h, w) by its coordinates from −1 to 1 and their waves, `[h·w, 2 + 4·OCTAVES]`."""
    y, x = ((torch.arange(n) + 0.5) * (2 / n) - 1 for n in grid)
    place = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).flatten(0, 1)
    waves = [
        part
        for i in range(OCTAVES)
        for part in ((2**i * torch.pi / 2 * place).sin(), (2**i * torch.pi / 2 * place).cos())
    ]
    return torch.cat([place, *waves], dim=1)


def seen_from(where: Tensor, places: Tensor) -> Tensor:
    """Every place `[n, 2]` as it lies to the object, `[b, n, f, 9·|LAGS|]`: how near, and to which side of it, at three
    sizes of neighbourhood, in this frame and in those beside it. where: x, y and ln size `[b, f, 3]` in half image
    sides."""
    size = where[..., 2].clamp(-3, 0.5).exp()
    parts = []
    for lag in LAGS:
        at = (torch.arange(where.shape[1], device=where.device) + lag).clamp(0, where.shape[1] - 1)
        apart = (places[None, :, None] - where[:, None, at, :2]) / size[:, None, at, None]
        for reach in REACHES:
            near = (-0.5 * (apart / reach).square().sum(dim=-1, keepdim=True)).exp()
            parts += [near, near * apart / reach]
    return torch.cat(parts, dim=-1)


def moved_by(where: Tensor) -> Tensor:
    """Where the object is in every frame and how it gets there, `[b, f, MOVED]` of `[b, f, 3]`, and 1."""
    step = torch.cat([torch.zeros_like(where[:, :1]), where.diff(dim=1)], dim=1)
    return torch.cat([where, 3 * step, torch.ones_like(where[..., :1])], dim=-1)


class PlaceNetwork(nn.Module):
    """G `[b, h·w, f, r]` of frames' features `[b, f, hidden]` and of places as they lie to the object,
    `[b, h·w, f, s]`: what each frame means at each place. Features and places also meet in a product, for what follows
    no object."""

    def __init__(self, hidden: int, rank: int):
        super().__init__()
        described = 2 + 4 * OCTAVES
        self.frame = nn.Linear(hidden, 2 * PLACE_WIDTH)
        self.place = nn.Linear(described, 2 * PLACE_WIDTH)
        self.seen = nn.Linear(SEEN, PLACE_WIDTH)
        self.mixed = nn.Linear(PLACE_WIDTH, PLACE_WIDTH)
        self.norm = nn.LayerNorm(PLACE_WIDTH)  # products grow, and with them the embedding
        self.out = nn.Linear(PLACE_WIDTH, rank)

    def forward(self, features: Tensor, seen: Tensor, places: Tensor) -> Tensor:
        times, shifts = self.frame(features)[:, None].chunk(2, dim=-1)
        weights, offsets = self.place(places)[None, :, None].chunk(2, dim=-1)
        x = F.gelu(times * weights + shifts + offsets + self.seen(seen))
        return self.out(self.norm(x + F.gelu(self.mixed(x))))


class Decoder(nn.Module):
    """Codes `[b, f, k, width]` to the tensors of motion embeddings such as `empty`, which says of which backbone, at
    which of its layers and on which grids."""

    def __init__(self, design: Design, empty: MotionEmbedding):
        super().__init__()
        self.empty, self.shapes = empty.with_tensors({}), empty.shapes()
        width = design.hidden
        self.into = nn.Linear(len(GROUPS) * design.width, width)
        self.time = drawn(0.02, design.frames, width)
        self.block = Block(width, design.heads)
        self.norm = nn.LayerNorm(width)
        grids = {empty.grid_of(key) for key in self.shapes if key.endswith(".v")}
        self.places = nn.ModuleDict({_named(grid): PlaceNetwork(width, design.rank) for grid in sorted(grids)})
        self.alike = nn.Linear(width, design.rank)  # for tensors without spatial axes
        self.around = nn.ParameterDict(
            {_flat(k): nn.Parameter(torch.zeros(_known(k), shape[-1])) for k, shape in self.shapes.items()}
        )
        self.dictionaries = nn.ParameterDict(
            {_flat(key): nn.Parameter(torch.zeros(design.rank, shape[-1])) for key, shape in self.shapes.items()}
        )

    def forward(self, codes: Tensor, where: Tensor) -> dict[str, Tensor]:
        """`[b, positions, f, c]` of every tensor, by its name in an embedding. where: the object's place and ln size,
        `[b, f, 3]`, as the heads read them."""
        x = self.into(codes.flatten(2)) + self.time
        x = self.norm(self.block(x))
        known, made = {"": moved_by(where).to(x)[:, None]}, {"": self.alike(x)[:, None]}
        for grid, network in self.places.items():
            places = described_places(_grid(grid)).to(where)
            known[grid] = seen_from(where, places[:, [1, 0]]).to(x)
            made[grid] = network(x, known[grid], places.to(x))
        tensors = {}
        for key in self.shapes:
            grid, name = _named(self.empty.grid_of(key)) if key.endswith(".v") else "", _flat(key)
            tensors[key] = known[grid] @ self.around[name] + made[grid] @ self.dictionaries[name]
        return tensors


def patch_of(tensors: Mapping[str, Tensor], grids: Mapping[str, Grid]) -> PreparedPatch:
    """Tensors `[b, positions, f, c]` of many motions as one patch of a batch that has a video for each; grids: of the
    layers. As `joined_patch` makes it of finished patches, without a loop over them."""
    query_key, value = {}, {}
    for key, m in tensors.items():
        layer = layer_of(key)
        rows = m.expand(-1, prod(grids[layer]), -1, -1).flatten(0, 1)
        if key.endswith(".qk"):
            query_key[layer] = rows
        else:
            value[layer, key.removeprefix(f"{layer}.").removesuffix(".v")] = rows
    return PreparedPatch(query_key, value)


def _known(key: str) -> int:
    return SEEN if key.endswith(".v") else MOVED


def _named(grid: Grid) -> str:
    return f"{grid[0]}x{grid[1]}"


def _grid(name: str) -> Grid:
    h, w = map(int, name.split("x"))
    return h, w


def _flat(key: str) -> str:
    """Parameters have no dots in their names."""
    return key.replace(".", "/")
