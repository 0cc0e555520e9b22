"""A WanTransformer3DModel with random weights, small enough to run in milliseconds."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from torch import nn

from ...diffusion.process import Process
from ..family import Tiny
from ..temporal import randomise
from .denoiser import WanDenoiser

TEXT_WIDTH = 8
CONFIG = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": TEXT_WIDTH,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 6,
    "rope_max_seq_len": 32,
}


def tiny_transformer(seed: int = 0, **changes: Any) -> WanTransformer3DModel:
    transformer = WanTransformer3DModel(**{**CONFIG, **changes})
    randomise(transformer, seed)
    return transformer


def tiny(dtype: torch.dtype, process: Process) -> Tiny:
    def conditioning(videos: int, seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(videos, 3, TEXT_WIDTH, generator=generator, dtype=dtype)

    return Tiny(WanDenoiser(nn.Module.to(tiny_transformer(), dtype), process), conditioning)
