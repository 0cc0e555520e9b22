"""The temporal attention that consults patches, as a diffusers attention processor.

It is installed once, when a model is loaded; patches travel with the call in `cross_attention_kwargs={"motion": …}`, so
that patching changes no module and un-patching is leaving them out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ...method.patch import PreparedPatch


class TemporalAttention:
    """Self-attention over the frames of `[(b h w), f, c]`, for one of the two attentions of one temporal layer."""

    def __init__(self, layer: str, attention: str):
        self.layer, self.attention = layer, attention

    def __call__(
        self,
        attn,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        motion: Sequence[PreparedPatch] = (),
    ) -> Tensor:
        query_key, value = hidden_states, hidden_states
        for patch in motion:
            query_key = patch.query_key_input(self.layer, query_key)
            value = patch.value_input(self.layer, self.attention, value)
        q, k, v = (
            rearrange(projection(x), "n f (heads d) -> n heads f d", heads=attn.heads)
            for projection, x in ((attn.to_q, query_key), (attn.to_k, query_key), (attn.to_v, value))
        )
        out = rearrange(F.scaled_dot_product_attention(q, k, v), "n heads f d -> n f (heads d)")
        return attn.to_out[1](attn.to_out[0](out))


def unaware(processor_class: type) -> type:
    """The same spatial processor, accepting the patches that travel past it."""

    class Unaware(processor_class):
        def __call__(self, *args, motion: Sequence[PreparedPatch] = (), **kwargs) -> Tensor:
            return super().__call__(*args, **kwargs)

    Unaware.__name__ = Unaware.__qualname__ = f"Unaware{processor_class.__name__}"
    return Unaware
