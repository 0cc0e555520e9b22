"""The blocks of WanTransformer3DModel as places for motion embeddings.

Every block has one self-attention over all frames and places; its site is as fine as the model's patches of 2×2 latent
pixels. The blocks count as early, middle and late by thirds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from torch import Tensor, nn

from ...diffusion.conditioning import PICTURE, Conditioning
from ...diffusion.process import Process
from ...errors import MotionError
from ...method.embedding import Backbone, stack
from ...method.patch import PreparedPatch
from ..accelerate.abilities import Abilities
from ..accelerate.recomputed_pass import RUNGS, RecomputedPass
from ..context import Context
from ..folder import Part
from ..loading import diffusers_model
from ..text import WAN_TOKENS
from .attention import JointAttention

FAMILY = "wan"


def backbone_of(transformer: Any) -> Backbone:
    """Name and width of every block, in the order in which they run."""
    config = transformer.config
    return stack(FAMILY, config.num_attention_heads * config.attention_head_dim, config.num_layers)


class WanDenoiser:
    """A Denoiser over a frozen WanTransformer3DModel; conditioning is text embeddings `[b, tokens, width]`, or a
    Conditioning that has a PICTURE besides, `[b, 20, f, h, w]` of mask and latents, for models that take a first frame.

    Latents whose sides are odd are made even by repeating them from the other side, as ComfyUI does. Raises MotionError
    for a picture that the model does not take, and ValueError for a model with a branch for embeddings of pictures.
    """

    def __init__(self, transformer: Any, process: Process):
        if transformer.config.image_dim is not None:
            raise ValueError("it takes embeddings of a picture, as Wan 2.1 does for image to video: use Wan 2.2's")
        transformer.requires_grad_(False).eval()
        self.network, self.process, self.backbone = transformer, process, backbone_of(transformer)
        self.context = Context()
        for site, block in zip(self.backbone.layers, transformer.blocks, strict=True):
            block.attn1.set_processor(JointAttention(site.name, self.context))

    @property
    def takes_pictures(self) -> bool:
        return self.network.config.in_channels > self.network.config.out_channels

    @property
    def abilities(self) -> Abilities:
        text = WAN_TOKENS, self.network.config.text_dim
        return Abilities(FAMILY, self.network, text, self.recomputing, RUNGS, pictures=self.takes_pictures)

    def recomputing(self, parts: tuple[str, ...]) -> RecomputedPass:
        # The backward pass begins with the last block, so that keeping it takes no more than computing it again there.
        return RecomputedPass(self, list(self.network.blocks)[:-1] if parts else [], self.context)

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Any, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        height, width = latents.shape[3:]
        seen = _even(torch.cat([latents, *self._given(latents, conditioning)], dim=1))
        text = conditioning.text if isinstance(conditioning, Conditioning) else conditioning
        with self.context.holding(patches, latents.shape[2]):
            # In their own precision: bfloat16 knows every fourth of the times near 1000 alone.
            velocity = self.network(seen, timesteps.to(latents.device), text, return_dict=False)[0]
        return velocity[..., :height, :width]

    def _given(self, latents: Tensor, conditioning: Any) -> list[Tensor]:
        """What the model sees beside the latents: the first frame, or zeros for none."""
        picture = conditioning.parts.get(PICTURE) if isinstance(conditioning, Conditioning) else None
        missing = self.network.config.in_channels - latents.shape[1]
        if picture is None:
            return [latents.new_zeros(len(latents), missing, *latents.shape[2:])] if missing else []
        expected = (len(latents), missing, *latents.shape[2:])
        if tuple(picture.shape) != expected:
            raise MotionError(
                f"The first frame is given as {list(picture.shape)}, but the model takes "
                f"{list(expected) if missing else 'none'} with latents of {list(latents.shape)}."
            )
        return [picture.to(latents)]

    def spatial_linears(self) -> Mapping[str, nn.Linear]:
        """None: no transformer of this model sees single frames alone."""
        return {}


def _even(x: Tensor) -> Tensor:
    """`[b, c, f, h, w]` with even h and w."""
    down, right = x.shape[3] % 2, x.shape[4] % 2
    return F.pad(x, (0, right, 0, down, 0, 0), mode="circular") if down or right else x


def load(part: Part, process: Process, device: torch.device, dtype: torch.dtype) -> WanDenoiser:
    return WanDenoiser(diffusers_model(WanTransformer3DModel, part, dtype, device), process)
