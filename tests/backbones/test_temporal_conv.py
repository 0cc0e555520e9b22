"""The flattened temporal convolution is diffusers' own, in values and gradients."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.resnet import TemporalConvLayer

from motion_lib.backbones.unet3d.temporal_conv import FlatTemporalConv, flatten_temporal_convs
from tests.tiny import randn, tiny_unet


def pair(dropout: float = 0.0) -> tuple[TemporalConvLayer, torch.nn.Module]:
    """The same random layer twice, the second flattened."""
    layers = []
    for _ in range(2):
        layer = TemporalConvLayer(8, 8, dropout=dropout, norm_num_groups=4).double().eval()
        with torch.no_grad():
            for i, parameter in enumerate(layer.parameters()):
                parameter.copy_(0.5 * randn(*parameter.shape, seed=i, dtype=torch.float64) + (parameter.ndim == 1))
        layers.append(layer)
    holder = torch.nn.Sequential(layers[1])
    flatten_temporal_convs(holder)
    assert type(layers[1]) is FlatTemporalConv and type(layers[0]) is TemporalConvLayer
    return layers[0], layers[1]


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize(("videos", "frames", "h", "w"), [(1, 3, 5, 6), (2, 4, 3, 2), (2, 1, 1, 1), (1, 16, 4, 1)])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients(dropout: float, videos: int, frames: int, h: int, w: int, memory) -> None:
    theirs, ours = pair(dropout)
    results = []
    for layer in (theirs, ours):
        x = randn(videos * frames, 8, h, w, dtype=torch.float64).contiguous(memory_format=memory).requires_grad_()
        out = layer(x, num_frames=frames)
        (out * randn(*out.shape, seed=9, dtype=torch.float64)).sum().backward()
        results.append((out, x.grad, *[p.grad for p in layer.parameters()]))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    assert (results[0][0] - randn(videos * frames, 8, h, w, dtype=torch.float64)).abs().max() > 0.01


def test_every_layer_of_a_model_is_flattened_and_keeps_its_weights() -> None:
    plain, flat = tiny_unet().eval(), tiny_unet().eval()
    count = sum(isinstance(m, TemporalConvLayer) for m in plain.modules())
    flatten_temporal_convs(flat)
    assert sum(type(m) is FlatTemporalConv for m in flat.modules()) == count > 5
    assert list(plain.state_dict()) == list(flat.state_dict())
    x, words = randn(1, 4, 3, 5, 6), randn(1, 3, 8, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(flat(x, 300, words).sample, plain(x, 300, words).sample, rtol=1e-4, atol=1e-5)
