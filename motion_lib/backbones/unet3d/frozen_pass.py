"""The forward pass of UNet3DConditionModel for training: diffusers' numbers within rounding, faster, keeping less.

Features lie in memory as `[b, f, h, w, c]` throughout. Seen as `[b·f, c, h, w]` that is channels-last, as `[b, c, f,
h·w]` as well, and as `[b, f, h·w, c]` it is tokens: convolutions over space, convolutions over time, linear layers and
normalisation all read it where it is. diffusers' own pass copies between layouts around each of them.

The modules are those of the model, called with its weights; nothing in it is changed. Parts that `run` is told to
recompute keep only their input for the backward pass. Below the first patched layer nothing is kept at all: autograd
records only what a learning tensor has touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor, nn

from ...method.patch import PreparedPatch
from ..accelerate.frozen_layers import (
    add,
    add_bias,
    add_normalise,
    attend,
    attend_over_frames,
    convolve,
    feed_forward,
    join,
    normalise,
    plain,
    project,
)
from ..accelerate.recompute import computed_again

# What can be computed again in the backward pass instead of being kept, in the order of bytes saved per millisecond
# (docs/performance.md).
PARTS = ("feed_forward", "transformer", "convolution")
RUNGS = tuple(PARTS[:count] for count in range(len(PARTS) + 1))


def unsuitable(unet: Any) -> str | None:
    """Why this pass does not suit a UNet3DConditionModel, or None if it does."""
    config: Any = unet.config
    if config.act_fn not in ("silu", "swish"):
        return f"its activation is {config.act_fn}"
    if config.norm_num_groups is None:
        return "it has no group normalisation"
    return None


class FrozenPass:
    """`run(latents, timesteps, text, patches)` with the parts named in `recompute` computed again in the backward."""

    def __init__(self, unet: Any, recompute: Sequence[str] = ()):
        self.unet, self.recompute = unet, frozenset(recompute)
        # Names are looked up here, because a temporal transformer does not know its own.
        self.names = {module: name for name, module in unet.named_modules() if type(module) is TransformerTemporalModel}

    def __call__(
        self, latents: Tensor, timesteps: Tensor, text: Tensor, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        """Latents `[b, c, f, h, w]`, timesteps `[b]`, text `[b, tokens, width]` to the prediction `[b, c, f, h, w]`."""
        with torch.cuda.device_of(latents):  # Triton launches on the current GPU, wherever the tensors are
            return self._run(latents, timesteps, text, patches)

    def _run(self, latents: Tensor, timesteps: Tensor, text: Tensor, patches: Sequence[PreparedPatch]) -> Tensor:
        unet, videos, frames = self.unet, len(latents), latents.shape[2]
        embedded = unet.time_embedding(unet.time_proj(timesteps).to(unet.dtype))
        context = _Context(frames, F.silu(embedded), text, tuple(patches))
        x = latents.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        x = add_bias(*convolve(unet.conv_in, x))
        x = self.temporal(unet.transformer_in, x, context)
        skips = [x]
        for block in unet.down_blocks:
            for layers in _layers(block):
                x = self.layer(layers, x, context)
                skips.append(x)
            for down in block.downsamplers or ():
                padded = x if down.padding else F.pad(x, (0, 1, 0, 1))
                x = add_bias(*convolve(down.conv, padded))
                skips.append(x)
        mid = unet.mid_block
        x = self.convolutions(mid.resnets[0], mid.temp_convs[0], x, context)
        for layers in zip(mid.resnets[1:], mid.temp_convs[1:], mid.attentions, mid.temp_attentions, strict=True):
            resnet, convolution, spatial, temporal = layers
            x = self.temporal(temporal, self.spatial(spatial, x, context), context)
            x = self.convolutions(resnet, convolution, x, context)
        for block in unet.up_blocks:
            for layers in _layers(block):
                x = self.layer(layers, torch.cat([x, skips.pop()], dim=1), context)
            for up in block.upsamplers or ():
                # The next skip's size, because halving an odd size rounded up.
                x = add_bias(*convolve(up.conv, F.interpolate(x, size=skips[-1].shape[2:], mode="nearest")))
        x = add_bias(*convolve(unet.conv_out, normalise(unet.conv_norm_out, x, silu=True)[1]))
        return x.unflatten(0, (videos, frames)).transpose(1, 2)

    def layer(self, layers: Sequence[Any], x: Tensor, context: _Context) -> Tensor:
        resnet, convolution, *transformers = layers
        x = self.convolutions(resnet, convolution, x, context)
        if transformers:
            x = self.spatial(transformers[0], x, context)
            x = self.temporal(transformers[1], x, context)
        return x

    def convolutions(self, resnet: Any, temporal: Any, x: Tensor, context: _Context) -> Tensor:
        x = self.part("convolution", _resnet, resnet, x, context)
        return self.part("convolution", _temporal_convolution, temporal, x, context)

    def spatial(self, transformer: Transformer2DModel, x: Tensor, context: _Context) -> Tensor:
        return self.part("transformer", self._spatial, transformer, x, context)

    def temporal(self, transformer: TransformerTemporalModel, x: Tensor, context: _Context) -> Tensor:
        return self.part("transformer", self._temporal, transformer, x, context)

    def part(self, name: str, compute: Callable[..., Tensor], *arguments: Any) -> Tensor:
        if name in self.recompute and torch.is_grad_enabled():
            return computed_again(compute, *arguments)
        return compute(*arguments)

    def feed_forward(self, block: Any, x: Tensor) -> Tensor:
        # Computed again with the transformer around it, a second time would save nothing.
        if "transformer" in self.recompute:
            return feed_forward(block.ff, x)
        return self.part("feed_forward", feed_forward, block.ff, x)

    def _spatial(self, transformer: Any, x: Tensor, context: _Context) -> Tensor:
        """A Transformer2DModel: attention over the positions of a frame, then to the text."""
        x, normed = normalise(transformer.norm, x)
        hidden, change = _linear(transformer.proj_in, _tokens(normed)), None
        for block in transformer.transformer_blocks:
            hidden, normed = add_normalise(block.norm1, hidden, change)
            hidden, normed = add_normalise(block.norm2, hidden, _attention(block.attn1, normed))
            hidden, normed = add_normalise(block.norm3, hidden, _attention(block.attn2, normed, context))
            change = self.feed_forward(block, normed)
        hidden = hidden if change is None else hidden + change
        return x + _planes(_linear(transformer.proj_out, hidden), x.shape[2])

    def _temporal(self, transformer: Any, x: Tensor, context: _Context) -> Tensor:
        """A TransformerTemporalModel: two attentions over the frames of each position, which patches act on."""
        over_time, normed = normalise(transformer.norm, _over_time(x, context.frames))
        hidden, change = transformer.proj_in(_tokens(normed)).unflatten(1, over_time.shape[2:]), None
        name, patches = self.names[transformer], context.patches
        for block in transformer.transformer_blocks:
            hidden, normed = add_normalise(block.norm1, hidden, change)
            change = _temporal_attention(block.attn1, name, "attn1", normed, patches)
            hidden, normed = add_normalise(block.norm2, hidden, change)
            change = _temporal_attention(block.attn2, name, "attn2", normed, patches)
            hidden, normed = add_normalise(block.norm3, hidden, change)
            change = self.feed_forward(block, normed)
        hidden = hidden if change is None else hidden + change
        out = over_time + transformer.proj_out(hidden).permute(0, 3, 1, 2)
        return _planes(_tokens(out).reshape(len(x), -1, x.shape[1]), x.shape[2])


class _Context:
    """What every layer of one pass sees: frames f, SiLU of the time embedding `[b, c]`, text `[b, tokens, width]`."""

    def __init__(self, frames: int, time: Tensor, text: Tensor, patches: tuple[PreparedPatch, ...]):
        self.frames, self.time, self.text, self.patches = frames, time, text, patches


def _layers(block: Any) -> list[tuple[Any, ...]]:
    parts = [block.resnets, block.temp_convs]
    if getattr(block, "has_cross_attention", False):
        parts += [block.attentions, block.temp_attentions]
    return list(zip(*parts, strict=True))


def _resnet(resnet: Any, x: Tensor, context: _Context) -> Tensor:
    """A ResnetBlock2D. Biases are added where the tensor is read next: by the norm, or in the sum at the end."""
    x, normed = normalise(resnet.norm1, x, silu=True)
    hidden, bias = convolve(resnet.conv1, normed)
    shift = resnet.time_emb_proj(context.time).repeat_interleave(context.frames, dim=0)
    _, normed = normalise(resnet.norm2, hidden, shift if bias is None else shift + bias, silu=True)
    if resnet.conv_shortcut is not None:
        x = _planes(_linear(resnet.conv_shortcut, _tokens(x)), x.shape[2])
    out = add(x, *convolve(resnet.conv2, normed))
    return out if resnet.output_scale_factor == 1 else out / resnet.output_scale_factor


def _temporal_convolution(layer: Any, x: Tensor, context: _Context) -> Tensor:
    """A TemporalConvLayer, without dropout: four times norm, SiLU and a convolution over three frames."""
    over_time, normed = normalise(layer.conv1[0], _over_time(x, context.frames), silu=True)
    hidden, bias = convolve(layer.conv1[-1], normed)
    for sequence in (layer.conv2, layer.conv3, layer.conv4):
        _, normed = normalise(sequence[0], hidden, None if bias is None else bias[None], silu=True)
        hidden, bias = convolve(sequence[-1], normed)
    out = add(over_time, hidden, bias)
    return _planes(_tokens(out).reshape(len(x), -1, x.shape[1]), x.shape[2])


def _attention(attn: Any, hidden: Tensor, context: _Context | None = None) -> Tensor:
    """Attention of `[b·f, h·w, c]` to itself, or to the text of each frame's video."""
    if "AttnProcessor" not in type(attn.processor).__name__:  # somebody's own, which may do more
        text = None if context is None else context.text.repeat_interleave(context.frames, dim=0)
        return attn(hidden, encoder_hidden_states=text)
    if context is None:
        q, k, v = project((attn.to_q, attn.to_k, attn.to_v), hidden)
    else:
        (q,) = project((attn.to_q,), hidden)
        k, v = (layer(context.text).repeat_interleave(context.frames, dim=0) for layer in (attn.to_k, attn.to_v))
    return attn.to_out[0](attend(q, k, v, attn.heads))


def _temporal_attention(
    attn: Any, layer: str, attention: str, hidden: Tensor, patches: tuple[PreparedPatch, ...]
) -> Tensor:
    """Self-attention over f of `[b, f, n, c]`. See attention.py for the same in diffusers' layout."""
    if any(layer in patch.query_key or (layer, attention) in patch.value for patch in patches):
        query_key = value = hidden
        for patch in patches:
            if (m := patch.query_key.get(layer)) is not None:
                query_key = join(patch.integration, query_key, m)
            if (m := patch.value.get((layer, attention))) is not None:
                value = join(patch.integration, value, m)
        q, k = project((attn.to_q, attn.to_k), query_key)
        (v,) = project((attn.to_v,), value)
    else:
        q, k, v = project((attn.to_q, attn.to_k, attn.to_v), hidden)
    return attn.to_out[0](attend_over_frames(q, k, v, attn.heads))


def _linear(layer: Any, tokens: Tensor) -> Tensor:
    """A Linear or a 1×1 Conv2d, over tokens `[n, l, c]`."""
    if isinstance(layer, nn.Linear):
        return layer(tokens)
    if plain(layer, nn.Conv2d):
        return F.linear(tokens, layer.weight.flatten(1), layer.bias)
    return layer(tokens.transpose(1, 2).unsqueeze(-1)).squeeze(-1).transpose(1, 2)


def _tokens(x: Tensor) -> Tensor:
    """`[n, c, h, w]` as `[n, h·w, c]`."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def _planes(tokens: Tensor, height: int) -> Tensor:
    """`[n, h·w, c]` as `[n, c, h, w]`."""
    return tokens.unflatten(1, (height, -1)).permute(0, 3, 1, 2)


def _over_time(x: Tensor, frames: int) -> Tensor:
    """`[b·f, c, h, w]` as `[b, c, f, h·w]`."""
    return _tokens(x).unflatten(0, (-1, frames)).permute(0, 3, 1, 2)
