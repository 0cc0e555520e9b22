"""Temporal momentum attention in diffusers' UNet2DConditionModel, as an attention processor.

It is installed once, when a model is loaded; the momentum travels with the call in `cross_attention_kwargs`, so that
un-patching is leaving it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor

from ..backbones.temporal import place_of
from .momentum import Momentum, running_mean


@dataclass(frozen=True)
class FramesOf:
    """What every attention of one call needs to know: the momentum, and of how many videos and frames its batch is."""

    momentum: Momentum
    videos: int
    frames: int


class FrameAttention(AttnProcessor2_0):
    """diffusers' own attention, whose keys and values come from the running mean over frames where it is
    self-attention and a momentum was given. scale: how many times smaller than the latents this layer works."""

    def __init__(self, scale: int):
        super().__init__()
        self.scale = scale

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        momentum: FramesOf | None = None,
    ) -> Tensor:
        if momentum is not None and encoder_hidden_states is None:
            if momentum.momentum.acts_in(self.scale):
                of = (momentum.momentum.momentum, momentum.videos, momentum.frames)
                encoder_hidden_states = running_mean(hidden_states, *of)
        return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, temb)


def install_processors(unet: Any) -> None:
    """Give every attention of the UNet the processor that consults a momentum."""
    levels = len(unet.config.block_out_channels)
    unet.set_attn_processor({name: FrameAttention(2 ** place_of(name, levels)[1]) for name in unet.attn_processors})
