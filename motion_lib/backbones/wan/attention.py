"""The self-attention over frames and places that consults patches, as diffusers' processor of a block's attn1.

    q, k = R·norm(Wq(F + s·m_qk)), R·norm(Wk(F + s·m_qk)),  v = Wv(F + γ·m_v)

with F the block's normalised and modulated input, and R the rotation by frame, row and column. As Motion Inversion's
eq. 3 and 4 (arXiv 2403.20193) for temporal attention, with what a model of this kind does to q and k besides.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..context import Context


class JointAttention:
    """Self-attention of `[b, f·h·w, c]` in one block; the patches, and the number of frames, are in the context."""

    def __init__(self, site: str, context: Context):
        self.site, self.context = site, context

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        query_key, value = self._inputs(hidden_states)
        q, k = attn.norm_q(attn.to_q(query_key)), attn.norm_k(attn.to_k(query_key))
        q, k, v = (rearrange(x, "b n (heads d) -> b n heads d", heads=attn.heads) for x in (q, k, attn.to_v(value)))
        if rotary_emb is not None:
            turn = _turn(*rotary_emb, q.dtype)
            q, k = _rotated(q, turn), _rotated(k, turn)
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        out = rearrange(F.scaled_dot_product_attention(q, k, v), "b heads n d -> b n (heads d)").to(hidden_states)
        return attn.to_out[1](attn.to_out[0](out))

    def _inputs(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """What Wq and Wk get, and what Wv gets."""
        acting = [patch for patch in self.context.patches if patch.acts_on(self.site)]
        if not acting:
            return hidden, hidden
        videos, frames = len(hidden), self.context.frames
        query_key = value = rearrange(hidden, "b (f n) c -> (b n) f c", f=frames)
        for patch in acting:
            query_key = patch.query_key_input(self.site, query_key)
            value = patch.value_input(self.site, "attn1", value)
        query_key, value = (rearrange(x, "(b n) f c -> b (f n) c", b=videos) for x in (query_key, value))
        return query_key, value


def _turn(cosines: Tensor, sines: Tensor, dtype: torch.dtype) -> Tensor:
    """The angles of all places as complex numbers `[1, n, 1, d/2]`, at least as precise as this type and float32."""
    wide = torch.promote_types(torch.promote_types(dtype, cosines.dtype), torch.float32)
    return torch.complex(cosines[..., 0::2].to(wide), sines[..., 1::2].to(wide))


def _rotated(x: Tensor, turn: Tensor) -> Tensor:
    """Neighbouring channels of `[b, n, heads, d]` turned by the angles of their places, in one product that is rounded
    once, in the backward pass too; four products of halves took twice the traffic and rounded each."""
    turned = torch.view_as_complex(x.to(turn.real.dtype).unflatten(-1, (-1, 2))) * turn
    return torch.view_as_real(turned).flatten(-2).type_as(x)
