"""From codes to a motion embedding of the frozen model.

A value embedding `[h·w, f, c]` says of every place and frame what joins the features there. Trained ones are of low
rank: of those of the bundled figure eight, 32 of 80 or 112 directions hold 93 to 96 % (docs/codes.md). So the decoder
makes G `[h·w, f, r]` of the codes, for every size of grid, and m = G·B with a dictionary B `[r, c]` of each tensor,
which all motions share. B is zero at the start, so that an untrained decoder changes nothing.
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
from .encoders import Block

OCTAVES = 4  # of the waves that a place is described by
PLACE_WIDTH = 256


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


class PlaceNetwork(nn.Module):
    """G `[b, h·w, f, r]` of frames' features `[b, f, hidden]`: what each frame means at each place. Features and places
    meet in a product, in which a bump that follows an object is a sum of few terms: cos(x − p) = cos x cos p + sin x
    sin p."""

    def __init__(self, hidden: int, rank: int):
        super().__init__()
        described = 2 + 4 * OCTAVES
        self.frame = nn.Linear(hidden, 2 * PLACE_WIDTH)
        self.place = nn.Linear(described, 2 * PLACE_WIDTH)
        self.mixed = nn.Linear(PLACE_WIDTH, PLACE_WIDTH)
        self.norm = nn.LayerNorm(PLACE_WIDTH)  # products grow, and with them the embedding
        self.out = nn.Linear(PLACE_WIDTH, rank)

    def forward(self, features: Tensor, grid: Grid) -> Tensor:
        times, shifts = self.frame(features)[:, None].chunk(2, dim=-1)
        weights, offsets = self.place(described_places(grid).to(features))[None, :, None].chunk(2, dim=-1)
        x = F.gelu(times * weights + shifts + offsets)
        return self.out(self.norm(x + F.gelu(self.mixed(x))))


class Decoder(nn.Module):
    """Codes `[b, f, k, width]` to the tensors of motion embeddings such as `empty`, which says of which backbone, at
    which of its layers and on which grids."""

    def __init__(self, design: Design, empty: MotionEmbedding):
        super().__init__()
        self.empty, self.shapes = empty.with_tensors({}), empty.shapes()
        width = design.hidden
        self.into = nn.Linear(len(GROUPS) * design.width, width)
        self.time = nn.Parameter(0.02 * torch.randn(design.frames, width))
        self.blocks = nn.ModuleList(Block(width, design.heads) for _ in range(2))
        self.norm = nn.LayerNorm(width)
        grids = {empty.grid_of(key) for key in self.shapes if key.endswith(".v")}
        self.places = nn.ModuleDict({_named(grid): PlaceNetwork(width, design.rank) for grid in sorted(grids)})
        self.alike = nn.Linear(width, design.rank)  # for tensors without spatial axes
        self.dictionaries = nn.ParameterDict(
            {_flat(key): nn.Parameter(torch.zeros(design.rank, shape[-1])) for key, shape in self.shapes.items()}
        )

    def forward(self, codes: Tensor) -> dict[str, Tensor]:
        """`[b, positions, f, c]` of every tensor, by its name in an embedding."""
        x = self.into(codes.flatten(2)) + self.time
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        made = {grid: network(x, _grid(grid)) for grid, network in self.places.items()}
        alike = self.alike(x)[:, None]
        return {
            key: (made[_named(self.empty.grid_of(key))] if key.endswith(".v") else alike)
            @ self.dictionaries[_flat(key)]
            for key in self.shapes
        }

    def embedding(self, codes: Tensor) -> MotionEmbedding:
        """That of one clip's codes `[f, k, width]`."""
        return self.empty.with_tensors({key: m[0] for key, m in self(codes[None]).items()})


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


def _named(grid: Grid) -> str:
    return f"{grid[0]}x{grid[1]}"


def _grid(name: str) -> Grid:
    h, w = map(int, name.split("x"))
    return h, w


def _flat(key: str) -> str:
    """Parameters have no dots in their names."""
    return key.replace(".", "/")
