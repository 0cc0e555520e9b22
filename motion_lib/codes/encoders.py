"""Encoders: what is seen of a clip, `[b, c, f, s, s]`, becomes features `[b, f, hidden]` of every frame for each token
group, `[b, f, k, hidden]`, which a linear map then brings down to the width of a code (model.py).

The notes ask for them side by side: linear, VQ-VAE, the same with continuous latents, spatio-temporal transformer. One
class and one line in ENCODERS each.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import MotionError, shown
from .design import GROUPS, Design
from .inputs import INPUTS

REACH = 3  # pixels that a place may move by from frame to frame
SHIFTS = (2 * REACH + 1) ** 2
LEAST = 2e-3  # squared difference that counts as no texture


def drawn(deviation: float, *shape: int) -> nn.Parameter:
    """A parameter of normal draws. On the meta device, whose own draws take a second to be imported, of none."""
    values = torch.empty(shape)
    return nn.Parameter(values if values.is_meta else values.normal_(std=deviation))


class Block(nn.Module):
    """A transformer block over `[n, l, c]`: attention and a feed-forward layer, each after a norm."""

    def __init__(self, width: int, heads: int, widened: int = 2):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, widened * width), nn.Linear(widened * width, width)
        with torch.no_grad():  # not zero: a group's token sees its frame through attention alone
            self.out.weight.mul_(0.5)
            self.down.weight.mul_(0.5)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Linear(nn.Module):
    """One linear map of what is seen of each frame, on a grid of twice as many places."""

    def __init__(self, design: Design):
        super().__init__()
        self.side = 2 * design.places
        self.map = nn.Linear(INPUTS[design.inputs].channels * self.side**2, len(GROUPS) * design.hidden)

    def forward(self, seen: Tensor) -> Tensor:
        places = F.adaptive_avg_pool2d(seen.transpose(1, 2).flatten(0, 1), (self.side, self.side))
        return self.map(places.flatten(1)).unflatten(0, (len(seen), -1)).unflatten(2, (len(GROUPS), -1))


class Convolutional(nn.Module):
    """Convolutions over each frame down to one place, then over time: the encoder of a VQ-VAE, with continuous
    latents."""

    def __init__(self, design: Design):
        super().__init__()
        known, width = INPUTS[design.inputs], design.hidden
        halvings = round(math.log2(known.side)) - 1
        widths = [known.channels, *(min(width, 32 * 2**i) for i in range(halvings))]
        self.over_places = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 4, 2, 1), nn.GroupNorm(8, b), nn.GELU())
                for a, b in itertools.pairwise(widths)
            )
        )
        self.together = nn.Linear(4 * widths[-1], width)
        self.over_time = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(design.depth))
        self.out = nn.Linear(width, len(GROUPS) * width)

    def forward(self, seen: Tensor) -> Tensor:
        x = self.over_places(seen.transpose(1, 2).flatten(0, 1)).flatten(1)
        x = self.together(x).unflatten(0, (len(seen), -1)).transpose(1, 2)
        for layer in self.over_time:
            x = x + F.gelu(layer(x))
        return self.out(x.transpose(1, 2)).unflatten(2, (len(GROUPS), -1))


class Transformer(nn.Module):
    """Convolutions over each frame down to a grid of places, whose features keep where they are; beside them how each
    place has moved (`matched`), where the input says it; then a transformer over the tokens of all frames and groups.

    Group tokens that had to find the object by attention among the places saw next to nothing of it at the start (a
    spread of .01 over clips) and learned nothing in 2,100 steps; tokens made of all places at once have a spread of .7.
    """

    WIDTHS = (32, 64, 96)
    MATCHED, KEPT = 32, 12  # channels

    def __init__(self, design: Design):
        super().__init__()
        known, width = INPUTS[design.inputs], design.hidden
        self.pairs, self.side = known.pairs, design.places
        halvings = round(math.log2(known.side / design.places))
        widths = [known.channels, *(self.WIDTHS[min(i, len(self.WIDTHS) - 1)] for i in range(halvings))]
        self.over_places = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 4, 2, 1), nn.GroupNorm(8, b), nn.GELU())
                for a, b in itertools.pairwise(widths)
            )
        )
        self.moved = nn.Conv2d(SHIFTS, self.MATCHED, 1) if self.pairs else None
        self.kept = nn.Conv2d(widths[-1] + (self.MATCHED if self.pairs else 0), self.KEPT, 1)
        self.out = nn.Linear(self.KEPT * design.places**2, len(GROUPS) * width)
        self.steps = nn.Linear(width, width, bias=False)
        self.time = drawn(0.02, design.frames, 1, width)
        self.group = drawn(0.02, len(GROUPS), width)
        self.blocks = nn.ModuleList(Block(width, design.heads) for _ in range(design.depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, seen: Tensor) -> Tensor:
        videos, _, frames = seen.shape[:3]
        flat = seen.transpose(1, 2).flatten(0, 1)
        x = self.over_places(flat)
        if self.moved is not None:
            x = torch.cat([x, self.moved(matched(flat, self.side).to(x))], dim=1)
        x = self.out(F.gelu(self.kept(x)).flatten(1)).unflatten(0, (videos, frames)).unflatten(2, (len(GROUPS), -1))
        x = x + self.steps(x).cumsum(dim=1) / frames**0.5  # steps add up to where something is
        x = (x + self.time + self.group).flatten(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.norm(x).unflatten(1, (frames, len(GROUPS)))


def matched(pairs: Tensor, side: int) -> Tensor:
    """How well the frame before matches this one at every shift of up to REACH pixels, `[n, SHIFTS, side, side]`, of
    pairs `[n, 2·c, h, w]` of the frame before and the change since: a cost volume (PWC-Net, arXiv 1709.02371, sec. 3),
    by squared differences instead of products, in units of their mean over the shifts."""
    before, change = pairs.chunk(2, dim=1)
    now, (h, w) = before + change, before.shape[-2:]
    around = F.pad(before, [REACH] * 4, mode="replicate")
    reach = range(2 * REACH + 1)
    costs = torch.stack([(around[..., y : y + h, x : x + w] - now).square().mean(dim=1) for y in reach for x in reach])
    costs = F.adaptive_avg_pool2d(costs.transpose(0, 1), (side, side))
    return 1 - costs / (costs.mean(dim=1, keepdim=True) + LEAST)


class Quantised(Convolutional):
    """The VQ-VAE: `Convolutional`, whose codes are then replaced by the nearest entries of a codebook (see
    `Codebook`)."""


class Codebook(nn.Module):
    """The nearest of `entries` vectors for each of two halves of a code, and the loss that draws the two together
    (VQ-VAE, arXiv 1711.00937, eq. 3, with β = 0.25; gradients pass straight through)."""

    def __init__(self, width: int, entries: int = 512, parts: int = 2):
        super().__init__()
        self.parts = parts
        self.entries = drawn(1.0, parts, entries, width // parts)

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Codes `[…, width]` to those of the codebook, and the loss."""
        halves = codes.unflatten(-1, (self.parts, -1)).movedim(-2, 0)
        flat = halves.flatten(1, -2).float()
        nearest = torch.cdist(flat, self.entries.float()).argmin(dim=-1)
        found = torch.stack([own[i] for own, i in zip(self.entries, nearest, strict=True)]).float()
        loss = (found - flat.detach()).square().mean() + 0.25 * (found.detach() - flat).square().mean()
        through = (flat + (found - flat).detach()).view_as(halves).movedim(0, -2).flatten(-2)
        return through.to(codes), loss


ENCODERS: dict[str, type[nn.Module]] = {
    "linear": Linear,
    "vq": Quantised,
    "convolutional": Convolutional,
    "transformer": Transformer,
}


def encoder_of(design: Design) -> nn.Module:
    """Raises MotionError for an encoder that there is not."""
    if design.encoder not in ENCODERS:
        raise MotionError(f"encoder is '{shown(design.encoder, 60)}', but it must be one of {', '.join(ENCODERS)}.")
    return ENCODERS[design.encoder](design)
