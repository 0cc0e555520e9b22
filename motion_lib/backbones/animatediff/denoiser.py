"""AnimateDiff's motion modules as places for motion embeddings.

Every block of the UNet holds motion modules whose attn1 and attn2 are both self-attention over frames, as in the
unet3d family; positions are added to their input after its norm. diffusers hands motion modules no keyword arguments,
so that patches travel in a context that the denoiser sets for each call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D, UNetMotionModel
from torch import Tensor, nn

from ...diffusion.process import Process
from ...errors import MotionError
from ...method.embedding import ATTENTIONS, Backbone
from ...method.patch import PreparedPatch
from ..accelerate.abilities import Abilities
from ..accelerate.recomputed_pass import RUNGS, RecomputedPass
from ..context import Context
from ..folder import Part
from ..loading import diffusers_model
from ..temporal import layers_of, spatial_linears
from ..unet3d.attention import TemporalAttention

FAMILY = "animatediff"
TEXT_TOKENS = 77


class ContextAttention(TemporalAttention):
    """TemporalAttention that finds its patches in a context."""

    def __init__(self, layer: str, attention: str, context: Context):
        super().__init__(layer, attention)
        self.context = context

    def __call__(self, attn: Any, hidden_states: Tensor, *arguments: Any, **named: Any) -> Tensor:
        return super().__call__(attn, hidden_states, *arguments, **named, motion=self.context.patches)


class AnimateDiffDenoiser:
    """A Denoiser over a frozen UNetMotionModel; conditioning is text embeddings `[b, tokens, width]`.

    Raises MotionError when called with more frames than the model has positions for.
    """

    def __init__(self, unet: Any, process: Process):
        unet.requires_grad_(False).eval()
        self.unet, self.process = unet, process
        self.backbone = Backbone(FAMILY, layers_of(unet, AnimateDiffTransformer3D))
        self.context = Context()
        processors = dict(unet.attn_processors)
        for layer in self.backbone.layers:
            for attention in ATTENTIONS:
                name = f"{layer.name}.transformer_blocks.0.{attention}.processor"
                processors[name] = ContextAttention(layer.name, attention, self.context)
        unet.set_attn_processor(processors)

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Tensor, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        most = self.unet.config.motion_max_seq_length
        if latents.shape[2] > most:
            raise MotionError(f"The model takes videos of up to {most} frames, not of {latents.shape[2]}: take fewer.")
        words = conditioning.repeat_interleave(latents.shape[2], dim=0)  # the image model sees every frame by itself
        with self.context.holding(patches, latents.shape[2]):
            return self.unet(latents, timesteps, words, return_dict=False)[0]

    @property
    def abilities(self) -> Abilities:
        text = TEXT_TOKENS, self.unet.config.cross_attention_dim
        return Abilities(FAMILY, self.unet, text, self._recomputing, RUNGS)

    def _recomputing(self, parts: tuple[str, ...]) -> RecomputedPass:
        unet = self.unet
        return RecomputedPass(self, [*unet.down_blocks, unet.mid_block, *unet.up_blocks] if parts else [], self.context)

    def spatial_linears(self) -> dict[str, nn.Linear]:
        """See Denoiser."""
        return spatial_linears(self.unet)


def load(part: Part, process: Process, device: torch.device, dtype: torch.dtype) -> AnimateDiffDenoiser:
    return AnimateDiffDenoiser(diffusers_model(UNetMotionModel, part, dtype, device), process)
