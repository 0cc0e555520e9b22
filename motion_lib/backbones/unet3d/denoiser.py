"""The temporal transformers of UNet3DConditionModel as places for motion embeddings.

Every block holds TransformerTemporalModels whose attn1 and attn2 are both self-attention over frames. Motion Inversion
uses those of the down and up blocks: 6 + 9 in ModelScope.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor, nn

from ...diffusion.process import Process
from ...method.embedding import ATTENTIONS, Backbone
from ...method.patch import PreparedPatch
from ..accelerate.abilities import Abilities
from ..folder import Part
from ..loading import diffusers_model
from ..temporal import layers_of, spatial_linears
from .attention import TemporalAttention, unaware
from .temporal_conv import flatten_temporal_convs

FAMILY = "unet3d"
TEXT_TOKENS = 77


def backbone_of(unet: Any) -> Backbone:
    """Name, width and depth of every temporal transformer of the UNet, in the order in which they run."""
    return Backbone(FAMILY, layers_of(unet, TransformerTemporalModel))


def abilities_of(unet: Any) -> Abilities:
    """All there is, if the frozen pass suits the UNet."""
    from .frozen_pass import RUNGS, FrozenPass, unsuitable

    text, reason = (TEXT_TOKENS, unet.config.cross_attention_dim), unsuitable(unet)
    if reason is not None:
        return Abilities(FAMILY, unet, text, slow=reason)
    return Abilities(FAMILY, unet, text, partial(FrozenPass, unet), RUNGS, fast=True)


class UNet3DDenoiser:
    """A Denoiser over a frozen UNet3DConditionModel; conditioning is text embeddings `[b, tokens, width]`."""

    def __init__(self, unet: Any, process: Process):
        unet.requires_grad_(False).eval()
        self.unet, self.process, self.backbone = unet, process, backbone_of(unet)
        flatten_temporal_convs(unet)
        install_processors(unet, self.backbone)

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Tensor, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        return self.unet(
            latents, timesteps, conditioning, cross_attention_kwargs={"motion": tuple(patches)}, return_dict=False
        )[0]

    @property
    def abilities(self) -> Abilities:
        return abilities_of(self.unet)

    def spatial_linears(self) -> dict[str, nn.Linear]:
        """See Denoiser."""
        return spatial_linears(self.unet)


def install_processors(unet: Any, backbone: Backbone) -> None:
    """Give every temporal attention the processor that consults patches, and teach the others to let patches pass."""
    temporal = {}
    for layer in backbone.layers:
        for attention in ATTENTIONS:
            temporal[f"{layer.name}.transformer_blocks.0.{attention}.processor"] = TemporalAttention(
                layer.name, attention
            )
    spatial = {type(p): unaware(type(p)) for name, p in unet.attn_processors.items() if name not in temporal}
    unet.set_attn_processor(
        {name: temporal.get(name) or spatial[type(p)]() for name, p in unet.attn_processors.items()}
    )


def load(part: Part, process: Process, device: torch.device, dtype: torch.dtype) -> UNet3DDenoiser:
    """On the meta device without weights; raises ValueError when they do not suit the configuration."""
    from diffusers.models.unets.unet_3d_condition import UNet3DConditionModel

    return UNet3DDenoiser(diffusers_model(UNet3DConditionModel, part, dtype, device), process)
