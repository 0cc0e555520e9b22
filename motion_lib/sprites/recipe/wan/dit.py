"""The transformer of Wan 2.1, with the parameter names of its files (Wan Team 2025, arXiv 2503.20314)."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .design import HEAD_DIM, IN_CHANNELS, LATENT_CHANNELS, TRANSFORMER

FREQUENCIES = 256
EPS = 1e-6
PATCH = (1, 2, 2)


def rotary(frames: int, height: int, width: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Cosines and sines `[1, tokens, 1, HEAD_DIM / 2]` of the rotations of neighbouring channels: of the 64 pairs 22
    turn with the frame, 21 with the row, 21 with the column."""
    places = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (frames, height, width)), indexing="ij")
    third = 2 * (HEAD_DIM // 6)
    angles = []
    for place, dim in zip(places, (HEAD_DIM - 2 * third, third, third), strict=True):
        speed = 10000.0 ** -(torch.arange(0, dim, 2, dtype=torch.float64) / dim)
        angles.append(place.flatten()[:, None] * speed)
    angle = torch.cat(angles, dim=1)[None, :, None].to(device, torch.float32)
    return angle.cos(), angle.sin()


def _rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    c, s = turn
    return torch.stack([c * even - s * odd, s * even + c * odd], dim=-1).flatten(-2).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.norm_q, self.norm_k = nn.RMSNorm(dim, eps=EPS), nn.RMSNorm(dim, eps=EPS)

    def forward(self, x: Tensor, context: Tensor, turn: tuple[Tensor, Tensor] | None = None) -> Tensor:
        q, k = self.norm_q(self.q(x)), self.norm_k(self.k(context))
        q, k, v = (y.unflatten(-1, (-1, HEAD_DIM)) for y in (q, k, self.v(context)))
        if turn is not None:
            q, k = _rotate(q, turn), _rotate(k, turn)
        v = v.to(q.dtype)
        y = F.scaled_dot_product_attention(q.transpose(1, 2), k.to(q.dtype).transpose(1, 2), v.transpose(1, 2))
        return self.o(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, dim: int, ffn_dim: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, EPS, elementwise_affine=False)
        self.self_attn = Attention(dim)
        self.norm3 = nn.LayerNorm(dim, EPS)
        self.cross_attn = Attention(dim)
        self.norm2 = nn.LayerNorm(dim, EPS, elementwise_affine=False)
        self.ffn = nn.Sequential(nn.Linear(dim, ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(ffn_dim, dim))
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    def forward(self, x: Tensor, time: Tensor, context: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        e = (self.modulation + time).chunk(6, dim=1)
        y = self.norm1(x) * (1 + e[1]) + e[0]
        x = x + self.self_attn(y, y, turn) * e[2]
        x = x + self.cross_attn(self.norm3(x), context)
        return x + self.ffn(self.norm2(x) * (1 + e[4]) + e[3]) * e[5]


class Head(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim, EPS, elementwise_affine=False)
        self.head = nn.Linear(dim, math.prod(PATCH) * LATENT_CHANNELS)
        self.modulation = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift, scale = (self.modulation + time[:, None]).chunk(2, dim=1)
        return self.head(self.norm(x) * (1 + scale) + shift)


class Transformer(nn.Module):
    """Noisy latents, mask and given picture `[b, 36, f, h, w]`, noise levels `[b]` in [0, 1] and text
    `[b, tokens, text_dim]` to the velocity `[b, 16, f, h, w]` from clip to noise."""

    def __init__(self, dim: int, ffn_dim: int, layers: int, text_dim: int):
        super().__init__()
        self.patch_embedding = nn.Conv3d(IN_CHANNELS, dim, PATCH, stride=PATCH)
        self.text_embedding = nn.Sequential(nn.Linear(text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim))
        self.time_embedding = nn.Sequential(nn.Linear(FREQUENCIES, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks = nn.ModuleList(Block(dim, ffn_dim) for _ in range(layers))
        self.head = Head(dim)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patch_embedding.weight.view(self.patch_embedding.weight.shape[0], -1))
        last: Any = self.time_projection[1]
        nn.init.normal_(last.weight, std=0.02)
        nn.init.zeros_(self.head.head.weight)

    def forward(self, x: Tensor, level: Tensor, text: Tensor, turn: tuple[Tensor, Tensor] | None = None) -> Tensor:
        tokens = self.patch_embedding(x)
        frames, height, width = tokens.shape[2:]
        turn = rotary(frames, height, width, x.device) if turn is None else turn
        tokens = tokens.flatten(2).transpose(1, 2)
        time = self.time_embedding(_sinusoids(1000 * level).to(text.dtype))
        each = self.time_projection(time).unflatten(1, (6, -1))
        context = self.text_embedding(text)
        for block in self.blocks:
            tokens = block(tokens, each, context, turn)
        y = self.head(tokens, time).unflatten(1, (frames, height, width)).unflatten(-1, (*PATCH, -1))
        y = y.permute(0, 7, 1, 4, 2, 5, 3, 6)
        return y.reshape(len(x), LATENT_CHANNELS, frames, 2 * height, 2 * width)


def _sinusoids(t: Tensor) -> Tensor:
    half = FREQUENCIES // 2
    speed = 10000.0 ** -(torch.arange(half, device=t.device) / half)
    angle = t.float()[:, None] * speed
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def new_transformer() -> Transformer:
    return Transformer(**TRANSFORMER)
