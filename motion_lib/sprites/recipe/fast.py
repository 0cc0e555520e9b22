"""The same UNet, faster to train: exact rewritings of two kinds of layer, applied to one model.

Temporal convolutions run without copies. Attention over 16 frames is too short for fused kernels, whose tiles are 128
long; written out, it is bound by memory only.
"""

from __future__ import annotations

from typing import Any

import torch

from ...backbones.unet3d.temporal_conv import flatten_temporal_convs


class _WrittenOutAttention:
    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        q, k, v = (
            linear(hidden_states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for linear in (attn.to_q, attn.to_k, attn.to_v)
        )
        weights = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1)
        return attn.to_out[0]((weights.to(v.dtype) @ v).transpose(1, 2).flatten(2))


def speed_up(unet, attention: bool = True):
    """Rewrite the temporal layers of a `UNet3DConditionModel` without dropout; returns it."""
    from diffusers.models.attention_processor import Attention

    flatten_temporal_convs(unet)
    written_out: Any = _WrittenOutAttention()
    for name, module in unet.named_modules():
        if attention and isinstance(module, Attention) and ("temp_attentions" in name or "transformer_in" in name):
            module.set_processor(written_out)
    return unet
