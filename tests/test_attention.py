"""Patched temporal attention against the formula of the paper written out in float64, on diffusers' own layers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from motion_lib.method.embedding import MotionEmbedding
from motion_lib.method.patch import MotionPatch, PreparedPatch
from tests.tiny import randn, random_embedding, text, tiny_backbone, tiny_denoiser

F64 = torch.float64
SITE = "up_blocks.1.temp_attentions.0"


def block_of(site: str = SITE):
    """The real BasicTransformerBlock of one site, with the library's processors in it."""
    return tiny_denoiser(dtype=F64).unet.get_submodule(f"{site}.transformer_blocks.0")


def attention_by_the_formula(
    attn, x: Tensor, videos: int, m_qk: Tensor, m_v: Tensor, strength_qk: float, gamma: float
) -> Tensor:
    """softmax(Wq(F + s·m_qk)·Wk(F + s·m_qk)ᵀ / √d) · Wv(F + γ·m_v), position by position and head by head.

    x: `[b·h·w, f, c]` with b outermost; m_qk `[1, f, c]`, m_v `[h·w, f, c]`.
    """
    positions, width = len(x) // videos, x.shape[-1] // attn.heads
    wq, wk, wv = attn.to_q.weight, attn.to_k.weight, attn.to_v.weight
    rows = []
    for video in range(videos):
        for position in range(positions):
            hidden = x[video * positions + position]
            shaped = hidden + strength_qk * m_qk[0]
            q, k = shaped @ wq.T, shaped @ wk.T
            v = (hidden + gamma * m_v[position]) @ wv.T
            heads = []
            for head in range(attn.heads):
                part = slice(head * width, (head + 1) * width)
                scores = q[:, part] @ k[:, part].T / math.sqrt(width)
                weights = scores.exp() / scores.exp().sum(dim=-1, keepdim=True)
                heads.append(weights @ v[:, part])
            rows.append(torch.cat(heads, dim=-1) @ attn.to_out[0].weight.T + attn.to_out[0].bias)
    return torch.stack(rows)


@pytest.mark.parametrize("videos", [1, 2])
@pytest.mark.parametrize("strengths", [(1.0, 1.0), (0.5, 2.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.3)])
def test_a_block_equals_the_formula(videos: int, strengths: tuple[float, float]) -> None:
    """Both attentions of a block: the same m_qk, each its own m_v, both added after the block's norm."""
    frames, size, block = 3, (5, 6), block_of()
    embedding = random_embedding(tiny_backbone(), SITE, frames, size, dtype=F64)
    patch = MotionPatch(embedding, *strengths).prepare(frames, size, "cpu", F64)
    x = randn(videos * 30, frames, 8, dtype=F64)
    found = block(x, cross_attention_kwargs={"motion": (patch,)})
    m = embedding.tensors
    expected = x
    for attention, norm in (("attn1", block.norm1), ("attn2", block.norm2)):
        layer, m_v = getattr(block, attention), m[f"{SITE}.{attention}.v"]
        expected = expected + attention_by_the_formula(
            layer, norm(expected), videos, m[f"{SITE}.qk"], m_v, strengths[0], strengths[1]
        )
    expected = expected + block.ff(block.norm3(expected))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert not torch.allclose(found, block(x), atol=1e-3)


@pytest.mark.parametrize("size", [(5, 6), (3, 8), (1, 2)])
def test_positions_are_rows_of_the_grid_with_videos_outermost(size: tuple[int, int]) -> None:
    """A value embedding at one grid position, through the whole temporal transformer, touches that position only, in
    every video."""
    layer = tiny_denoiser(dtype=F64).unet.get_submodule(SITE)
    (h, w), frames, videos = size, 3, 2
    spot = (h - 1, w // 2)
    zeros = MotionEmbedding.zeros(tiny_backbone(), SITE, frames, size).to(dtype=F64)
    v = zeros.tensors[f"{SITE}.attn2.v"]
    v[spot[0] * w + spot[1]] = randn(frames, 8, dtype=F64)
    patch = MotionPatch(zeros).prepare(frames, size, "cpu", F64)
    x = randn(videos * frames, 8, h, w, dtype=F64)
    run = dict(num_frames=frames, return_dict=False)
    change = layer(x, cross_attention_kwargs={"motion": (patch,)}, **run)[0] - layer(x, **run)[0]
    touched = (change.abs().amax(dim=1) > 1e-9).unflatten(0, (videos, frames)).any(dim=1)
    expected = torch.zeros(videos, h, w, dtype=torch.bool)
    expected[:, spot[0], spot[1]] = True
    assert torch.equal(touched, expected)


def call(patches: tuple[PreparedPatch, ...], videos: int = 2, size: tuple[int, int] = (5, 6)) -> Tensor:
    t = torch.arange(videos) * 100 + 300
    return tiny_denoiser()(randn(videos, 4, 3, *size), t, text(videos), patches)


def prepared(embedding: MotionEmbedding, **changes) -> PreparedPatch:
    return MotionPatch(embedding, **changes).prepare(3, (5, 6), "cpu", torch.float32)


def test_every_layer_of_the_model_is_reached() -> None:
    plain = call(())
    for layer in tiny_backbone().layers:
        for components in ("qk", "v"):
            patch = prepared(random_embedding(tiny_backbone(), layer.name, components=components))
            assert (call((patch,)) - plain).abs().max() > 1e-4, (layer.name, components)


def test_patches_compose_by_addition() -> None:
    a, b = random_embedding(tiny_backbone(), seed=1), random_embedding(tiny_backbone(), "deep", seed=2)
    total = dict(a.tensors)
    for key, tensor in b.tensors.items():
        total[key] = 0.5 * tensor + total[key]
    both = call((prepared(a), prepared(b, strength_qk=0.5, strength_v=0.5)))
    torch.testing.assert_close(both, call((prepared(a.with_tensors(total)),)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        both, call((prepared(b, strength_qk=0.5, strength_v=0.5), prepared(a))), rtol=1e-4, atol=1e-5
    )
    assert (both - call((prepared(a),))).abs().max() > 1e-3


def test_strength_zero_is_no_embedding_bit_for_bit() -> None:
    embedding = random_embedding(tiny_backbone())
    plain = call(())
    assert torch.equal(call((prepared(embedding, strength_qk=0.0, strength_v=0.0),)), plain)
    only = {"strength_qk": 0.0}, {"strength_v": 0.0}
    for strengths, components in zip(only, ("v", "qk"), strict=True):
        part = random_embedding(tiny_backbone()).tensors
        kept = {k: t for k, t in part.items() if (k.rpartition(".")[2] == components)}
        assert torch.equal(call((prepared(embedding, **strengths),)), call((prepared(embedding.with_tensors(kept)),)))


def test_videos_of_a_batch_do_not_see_each_other() -> None:
    patch = prepared(random_embedding(tiny_backbone()))
    x, words, denoiser = randn(2, 4, 3, 5, 6), text(2), tiny_denoiser()
    together = denoiser(x, torch.tensor([300, 400]), words, (patch,))
    for i, t in enumerate((300, 400)):
        alone = denoiser(x[i : i + 1], torch.tensor([t]), words[i : i + 1], (patch,))
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)


def fails() -> None:
    wrong = PreparedPatch(query_key={SITE: torch.zeros(1, 3, 99)})
    with pytest.raises(RuntimeError):
        call((wrong,))


def succeeds() -> None:
    call((prepared(random_embedding(tiny_backbone())),))


@pytest.mark.parametrize("use", [succeeds, fails])
def test_the_model_is_unchanged_afterwards(use: Callable[[], None]) -> None:
    unet = tiny_denoiser().unet
    weights = {k: v.clone() for k, v in unet.state_dict().items()}
    modules = {name: (type(m), set(vars(m)), len(m._forward_hooks)) for name, m in unet.named_modules()}
    plain = call(())
    use()
    assert torch.equal(call(()), plain)
    assert all(torch.equal(v, weights[k]) for k, v in unet.state_dict().items())
    assert {name: (type(m), set(vars(m)), len(m._forward_hooks)) for name, m in unet.named_modules()} == modules
