"""What WanDenoiser does beside what it shares with other families: precision, and what it keeps and computes twice."""

from __future__ import annotations

from functools import partial

import pytest

pytest.importorskip("diffusers", minversion="0.35", reason="older ones have no Wan")

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from motion_lib.backbones.accelerate.estimate import activation_bytes, norm_is_fused, without_data
from motion_lib.backbones.wan.attention import _rotated, _turn
from motion_lib.backbones.wan.denoiser import WanDenoiser
from motion_lib.backbones.wan.tiny import CONFIG, TEXT_WIDTH, tiny_transformer
from motion_lib.diffusion.flow import FlowMatching
from motion_lib.method.patch import PreparedPatch

WIDTH = CONFIG["num_attention_heads"] * CONFIG["attention_head_dim"]


def denoiser(dtype: torch.dtype = torch.float32) -> WanDenoiser:
    return WanDenoiser(torch.nn.Module.to(tiny_transformer(), dtype), FlowMatching())


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    return drawn(1, 4, 3, 8, 8, dtype=dtype), torch.tensor([900.0]), drawn(1, 3, TEXT_WIDTH, seed=1, dtype=dtype)


def patch(site: str, dtype: torch.dtype = torch.float32) -> tuple[PreparedPatch, Tensor]:
    m = (0.1 * drawn(16, 3, WIDTH, seed=2)).to(dtype).requires_grad_()
    return PreparedPatch({}, {(site, "attn1"): m}), m


@torch.no_grad()
def test_times_are_told_apart_in_half_precision() -> None:
    """bfloat16 has 996 and 1000, and nothing between them."""
    latents, _, text = inputs(torch.bfloat16)
    model = denoiser(torch.bfloat16)
    found = [model(latents, torch.tensor([time]), text) for time in (997, 998, 997.0)]
    assert not torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_the_rotation_is_that_of_the_published_formula(dtype: torch.dtype) -> None:
    angles = 50 * drawn(1, 7, 1, 6, seed=3).repeat_interleave(2, -1)
    x = drawn(2, 7, 3, 12, dtype=dtype).requires_grad_()
    found = _rotated(x, _turn(angles.cos(), angles.sin(), dtype))
    even, odd, c, s = x[..., 0::2], x[..., 1::2], angles.cos()[..., 0::2], angles.sin()[..., 0::2]
    expected = torch.stack([even * c - odd * s, even * s + odd * c], -1).flatten(-2).to(dtype)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected)
    back = drawn(*x.shape, seed=4, dtype=dtype)
    exact = _turned_back(back.double(), angles.double()).to(dtype)
    torch.testing.assert_close(torch.autograd.grad(found, x, back)[0], exact)


def _turned_back(x: Tensor, angles: Tensor) -> Tensor:
    even, odd, c, s = x[..., 0::2], x[..., 1::2], angles.cos()[..., 0::2], angles.sin()[..., 0::2]
    return torch.stack([even * c + odd * s, odd * c - even * s], -1).flatten(-2)


def test_nothing_is_kept_below_the_first_patched_block() -> None:
    model = denoiser()
    acting, m = patch("blocks.2")
    kept = {"below": 0, "above": 0}
    where = ["below"]

    def pack(x: Tensor) -> Tensor:
        kept[where[0]] += 1
        return x

    model.network.blocks[2].register_forward_pre_hook(lambda *given: where.__setitem__(0, "above"))
    with saved_tensors_hooks(pack, lambda x: x):
        model(*inputs(), [acting]).sum().backward()
    assert kept["below"] == 0 < kept["above"] and m.grad is not None


def test_all_but_the_last_block_are_computed_twice() -> None:
    """And the gradient is that of keeping all of them."""
    gradients, runs = [], []
    for parts in ((), ("block",)):
        model, (acting, m) = denoiser(torch.float64), patch("blocks.2", torch.float64)
        counted = dict.fromkeys(range(len(model.network.blocks)), 0)
        for place, block in enumerate(model.network.blocks):
            block.norm3.register_forward_pre_hook(
                lambda *given, place=place, counted=counted: counted.__setitem__(place, counted[place] + 1)
            )
        model.recomputing(parts)(*inputs(torch.float64), [acting]).square().sum().backward()
        assert m.grad is not None
        gradients.append(m.grad)
        runs.append(list(counted.values()))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-10, atol=1e-12)
    assert runs == [[1] * 6, [1, 1, 2, 2, 2, 1]]


def test_a_fused_norm_is_estimated_to_keep_less() -> None:
    assert not norm_is_fused(torch.device("cpu"), torch.bfloat16)
    model = denoiser(torch.bfloat16)
    run = without_data(partial(model.recomputing(())), model.network)

    def needed(fused: bool) -> int:
        acting, m = patch("blocks.2", torch.bfloat16)
        m = m.detach().to("meta").requires_grad_()
        given = [x.to("meta") for x in inputs(torch.bfloat16)]
        keys = list(acting.value)
        return activation_bytes(
            lambda x, at, text, m: run(x, at, text, [PreparedPatch({}, {keys[0]: m})]), [*given, m], fused
        )

    # Each of three norms in four blocks keeps 48 rows of halves in place of float32; what learns has one norm less.
    less = needed(False) - needed(True)
    assert 0.5 * 12 * 48 * WIDTH * 2 < less < 2 * 12 * 48 * WIDTH * 4
