"""Every way in which an embedding can join temporal attention, against its formula written out in float64, and every
combination of the choices through training and file."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from motion_lib.errors import MotionError
from motion_lib.files.embedding_file import load_embedding, save_embedding
from motion_lib.method.embedding import COMPONENTS, QK_AXES, V_AXES, MotionEmbedding
from motion_lib.method.integration import INTEGRATIONS
from motion_lib.method.patch import DEBIAS, MotionPatch
from motion_lib.training.loop import train
from motion_lib.training.settings import TrainingSettings
from motion_lib.training.state import TrainingState
from tests.tiny import randn, random_embedding, text, tiny_backbone, tiny_denoiser

F64 = torch.float64
SITE = "up_blocks.1.temp_attentions.0"
FRAMES, SIZE = 4, (5, 6)
CHOICES = [{"integration": i, "qk_axes": q, "v_axes": v} for i, q, v in product(INTEGRATIONS, QK_AXES, V_AXES)]


def block():
    return tiny_denoiser(dtype=F64).unet.get_submodule(f"{SITE}.transformer_blocks.0")


def at_position(m: Tensor, axes: str, position: int) -> Tensor:
    """`[f, c]` that acts at a position of the 5×6 grid, by the definition of the axes."""
    if axes in ("none", "1d"):
        return m[0]
    if axes in ("full", "2d", "coarse"):  # a grid of 30 positions is coarse already
        return m[position]
    # Bilinear on a 4×4 grid at half-pixel centres, the edge kept outside the outermost.
    y, x = divmod(position, SIZE[1])
    rows = []
    for at, size in ((y, SIZE[0]), (x, SIZE[1])):
        place = min(max((at + 0.5) * 4 / size - 0.5, 0), 3)
        low = min(int(place), 2)
        rows.append([(low, 1 - (place - low)), (low + 1, place - low)])
    return sum((wy * wx * m[4 * i + j] for i, wy in rows[0] for j, wx in rows[1]), torch.zeros_like(m[0]))


def debiased(m: Tensor, name: str) -> Tensor:
    """m: `[f, c]`."""
    if name == "normalize":
        return m - m.mean(dim=0)
    window = {"vanilla": 1, "difference": 2, "difference3": 3, "difference5": 5}[name]
    rows = [m[j] - m[max(0, j - window + 1) : j].mean(dim=0) if j and window > 1 else m[j] for j in range(len(m))]
    return torch.stack(rows)


def joined(hidden: Tensor, m: Tensor, weights: Tensor | None, integration: str) -> Tensor:
    """F `[f, c]` and m `[f, c]`, or `[f, k]` where channels are really concatenated and led through [I; W]."""
    if integration == "multiply":
        return hidden * (1 + m)
    if weights is None:
        return hidden + m
    return torch.cat([hidden, m], dim=1) @ torch.cat([torch.eye(hidden.shape[1], dtype=F64), weights])


def expected_block(embedding: MotionEmbedding, x: Tensor, s: float, gamma: float, debias: str) -> Tensor:
    """The whole transformer block, position by position and head by head."""
    unit, tensors, integration = block(), embedding.tensors, embedding.integration
    positions = SIZE[0] * SIZE[1]
    for name, norm in (("attn1", unit.norm1), ("attn2", unit.norm2)):
        attn, rows = getattr(unit, name), []
        for row, hidden in enumerate(norm(x)):
            m_qk = at_position(tensors[f"{SITE}.qk"], embedding.qk_axes, row % positions)
            m_v = at_position(tensors[f"{SITE}.{name}.v"], embedding.v_axes, row % positions)
            shaped = joined(hidden, s * m_qk, tensors.get(f"{SITE}.qk.map"), integration)
            valued = joined(hidden, gamma * debiased(m_v, debias), tensors.get(f"{SITE}.{name}.v.map"), integration)
            q, k = shaped @ attn.to_q.weight.T, shaped @ attn.to_k.weight.T
            v, width = valued @ attn.to_v.weight.T, x.shape[-1] // attn.heads
            heads = []
            for part in (slice(i * width, (i + 1) * width) for i in range(attn.heads)):
                scores = (q[:, part] @ k[:, part].T / math.sqrt(width)).exp()
                heads.append(scores / scores.sum(dim=-1, keepdim=True) @ v[:, part])
            rows.append(torch.cat(heads, dim=-1) @ attn.to_out[0].weight.T + attn.to_out[0].bias)
        x = x + torch.stack(rows)
    return x + unit.ff(unit.norm3(x))


@pytest.mark.parametrize("debias", DEBIAS)
@pytest.mark.parametrize("choices", CHOICES, ids=lambda c: "-".join(c.values()))
def test_attention_equals_the_formula(choices: dict[str, str], debias: str) -> None:
    embedding = random_embedding(tiny_backbone(), SITE, FRAMES, SIZE, dtype=F64, **choices)
    x = randn(2 * 30, FRAMES, 8, dtype=F64)
    patch = MotionPatch(embedding, 0.7, -0.4, debias).prepare(FRAMES, SIZE, "cpu", F64)
    found = block()(x, cross_attention_kwargs={"motion": (patch,)})
    expected = expected_block(embedding, x, 0.7, -0.4, debias)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(found, block()(x), atol=1e-3)


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_resampling_commutes_with_the_map(integration: str) -> None:
    """What acts on a longer, larger video is the resampled product n·W, though n alone is resampled."""
    embedding = random_embedding(tiny_backbone(), SITE, FRAMES, SIZE, dtype=F64, integration=integration)
    same = MotionPatch(embedding).prepare(FRAMES, SIZE, "cpu", F64)
    plain = MotionEmbedding.zeros(tiny_backbone(), SITE, FRAMES, SIZE)
    plain = plain.with_tensors(
        {f"{SITE}.qk": same.query_key[SITE]} | {f"{SITE}.{a}.v": same.value[SITE, a] for a in ("attn1", "attn2")}
    )
    found = MotionPatch(embedding, debias="difference").prepare(7, (9, 8), "cpu", F64)
    expected = MotionPatch(plain, debias="difference").prepare(7, (9, 8), "cpu", F64)
    torch.testing.assert_close(found.query_key, expected.query_key)
    torch.testing.assert_close(found.value, expected.value)


def call(embedding: MotionEmbedding | None, **changes) -> Tensor:
    patches = ()
    if embedding is not None:
        patches = (MotionPatch(embedding, **changes).prepare(FRAMES, SIZE, "cpu", torch.float32),)
    return tiny_denoiser()(randn(2, 4, FRAMES, *SIZE), torch.tensor([300, 400]), text(2), patches)


@pytest.mark.parametrize("choices", CHOICES, ids=lambda c: "-".join(c.values()))
def test_beginning_and_strength_zero_are_the_unmodified_model_bit_for_bit(choices: dict[str, str]) -> None:
    zeros = MotionEmbedding.zeros(tiny_backbone(), "all", FRAMES, SIZE, **choices)
    random = random_embedding(tiny_backbone(), "all", FRAMES, SIZE, **choices)
    plain = call(None)
    assert torch.equal(call(zeros), plain)
    assert torch.equal(call(random, strength_qk=0.0, strength_v=0.0), plain)
    assert (call(random) - plain).abs().max() > 1e-3


def learned(components: str, choices: dict[str, str], steps: int = 1) -> TrainingState:
    empty = MotionEmbedding.zeros(tiny_backbone(), "deep", FRAMES, SIZE, components, **choices)
    state = TrainingState.start(empty, TrainingSettings(steps=steps, learning_rate=0.05), "cpu")
    for _ in train(tiny_denoiser(), randn(1, 4, FRAMES, *SIZE), text(), state):
        pass
    return state


@pytest.mark.parametrize("components", [name for name in COMPONENTS if name != "none"])
@pytest.mark.parametrize("choices", CHOICES, ids=lambda c: "-".join(c.values()))
def test_contract_learns_acts_and_is_kept(components: str, choices: dict[str, str], tmp_path: Path) -> None:
    """Every combination: one training step changes the prediction, and the file gives it back."""
    embedding = learned(components, choices).embedding.detached()
    changed = call(embedding)
    assert torch.isfinite(changed).all() and not torch.equal(changed, call(None))
    save_embedding(tmp_path / "a.safetensors", embedding, torch.float32)
    assert torch.equal(call(load_embedding(tmp_path / "a.safetensors")), changed)
    for key, tensor in embedding.tensors.items():
        if key.endswith((".map", "v", "qk")) and choices["integration"] != "concatenate":
            assert tensor.any(), key


def test_concatenated_channels_learn_once_their_map_is_not_zero() -> None:
    choices = {"integration": "concatenate"}
    start = MotionEmbedding.zeros(tiny_backbone(), "deep", FRAMES, SIZE, **choices)
    one, two = (learned("both", choices, steps).embedding.tensors for steps in (1, 2))
    for key, tensor in start.tensors.items():
        if key.endswith(".map"):
            assert one[key].any()
        else:
            decayed = tensor * (1 - 0.05 * 0.01)  # by AdamW alone: the zero map lets no gradient through
            torch.testing.assert_close(one[key], decayed)
            assert (two[key] - one[key]).abs().max() > 0.01


def test_no_components_is_no_motion_and_cannot_be_trained() -> None:
    empty = MotionEmbedding.zeros(tiny_backbone(), "all", FRAMES, SIZE, "none")
    assert torch.equal(call(empty), call(None))
    with pytest.raises(MotionError, match=r"components none.*nothing to learn"):
        TrainingState.start(empty, TrainingSettings(steps=1), "cpu")


@pytest.mark.parametrize("choices", CHOICES, ids=lambda c: "-".join(c.values()))
def test_checkpointing_and_compiling_change_nothing(choices: dict[str, str]) -> None:
    """Gradients through recomputed and through traced attention are those of plain attention."""
    attn = block().attn1
    x = randn(30, FRAMES, 8, dtype=F64)
    embedding = random_embedding(tiny_backbone(), SITE, FRAMES, SIZE, dtype=F64, **choices)
    live = {key: tensor.requires_grad_() for key, tensor in embedding.tensors.items() if "attn2" not in key}

    def run(hidden: Tensor) -> Tensor:
        patch = MotionPatch(embedding).prepare(FRAMES, SIZE, "cpu", F64)
        return attn(hidden, motion=(patch,)).square().sum()

    plain = torch.autograd.grad(run(x), list(live.values()))
    recomputed = torch.autograd.grad(checkpoint(run, x, use_reentrant=False), list(live.values()))
    assert all(torch.equal(a, b) for a, b in zip(plain, recomputed, strict=True))
    patch = MotionPatch(embedding.detached()).prepare(FRAMES, SIZE, "cpu", F64)
    torch._dynamo.reset()
    compiled = torch.compile(lambda h: attn(h, motion=(patch,)), backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), attn(x, motion=(patch,)))
