"""Temporal convolutions without copies.

diffusers' TemporalConvLayer runs its 3×1×1 convolutions over `[b, c, f, h, w]`. A 3×1 convolution over `[b, c, f,
h·w]` is the same numbers, is faster on CPUs, and in channels-last memory is how frames in the batch already lie.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from diffusers.models.resnet import TemporalConvLayer
from torch import Tensor, nn


class FlatTemporalConv(TemporalConvLayer):
    """A TemporalConvLayer whose four convolutions run over `[b, c, f, h·w]`, always without dropout."""

    def forward(self, hidden_states: Tensor, num_frames: int = 1) -> Tensor:
        bf, c, h, w = hidden_states.shape
        x = hidden_states.reshape(bf // num_frames, num_frames, c, h * w).transpose(1, 2)
        y = x
        layers: tuple[Any, ...] = (self.conv1, self.conv2, self.conv3, self.conv4)
        for layer in layers:
            norm, convolution = layer[0], layer[-1]
            y = F.conv2d(F.silu(norm(y)), convolution.weight.squeeze(-1), convolution.bias, padding=(1, 0))
        return (x + y).transpose(1, 2).reshape(bf, c, h, w)


def flatten_temporal_convs(model: nn.Module) -> None:
    """Turn every TemporalConvLayer of a model without dropout into a FlatTemporalConv; parameters and names stay."""
    for module in model.modules():
        if type(module) is TemporalConvLayer:
            module.__class__ = FlatTemporalConv
