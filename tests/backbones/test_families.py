"""The contract of every family, on its tiny model: frozen; a motion that is nothing changes nothing, bit for bit;
gradients reach every learned tensor and no weight; motions compose, resample, are saved and loaded; and patched
attention is the formula, written out in float64."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from motion_lib.backbones import load_model
from motion_lib.backbones.accelerate import frozen_layers as kernels
from motion_lib.backbones.accelerate.recorded_sampling import plan_sampling
from motion_lib.backbones.accelerate.training_modes import Plan, accelerated, flat, plan_training
from motion_lib.backbones.family import FAMILIES, Tiny, family_of
from motion_lib.diffusion.denoiser import Denoiser
from motion_lib.diffusion.flow import FlowMatching
from motion_lib.diffusion.process import Process
from motion_lib.diffusion.sampling import sample
from motion_lib.diffusion.schedule import NoiseSchedule
from motion_lib.errors import MotionError
from motion_lib.files.embedding_file import load_embedding, save_embedding
from motion_lib.method.embedding import Backbone, MotionEmbedding
from motion_lib.method.patch import DEBIAS, MotionPatch
from motion_lib.training.loop import train
from motion_lib.training.presets import PRESETS
from motion_lib.training.settings import TrainingSettings
from motion_lib.training.state import TrainingState
from tests.backbones.folders import build
from tests.tiny import SCHEDULE, randn, random_embedding

F64, FRAMES, SIZE = torch.float64, 3, (5, 6)
VP = NoiseSchedule.from_config(SCHEDULE)
TIME = torch.tensor([500])
MODELS: dict[tuple, Tiny] = {}
OLD = tuple(int(number) for number in diffusers.__version__.split(".")[:2]) < (0, 35)
KINDS = [kind for kind in FAMILIES if not (OLD and kind.startswith("Wan"))]


def tiny(kind: str, dtype: torch.dtype = torch.float32, process: Process = VP) -> Tiny:
    key = (kind, dtype, process.prediction)
    if key not in MODELS:
        MODELS[key] = family_of(kind).tiny(dtype, process)
    return MODELS[key]


def call(model: Tiny, *patches: MotionPatch, videos: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    x = randn(videos, 4, FRAMES, *SIZE, dtype=dtype)
    ready = [patch.prepare(FRAMES, SIZE, "cpu", dtype) for patch in patches]
    return model.denoiser(x, torch.full((videos,), 500), model.conditioning(videos, 7), ready)


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_and_described_truly(kind: str) -> None:
    """Names, widths and grids of its layers are true of its features."""
    model = tiny(kind)
    plain = call(model)
    assert plain.shape == (1, 4, FRAMES, *SIZE) and not plain.requires_grad
    backbone = model.denoiser.backbone
    assert backbone.family == family_of(kind).name and len({layer.name for layer in backbone.layers}) > 3
    for layer in backbone.layers:
        motion = random_embedding(backbone, layer.name, FRAMES, SIZE)
        for tensor in motion.tensors.values():
            tensor.requires_grad_()
        moved = call(model, MotionPatch(motion))
        moved.square().sum().backward()
        assert moved.shape == plain.shape and not torch.equal(moved, plain), layer
        assert all(tensor.grad is not None and tensor.grad.abs().max() > 0 for tensor in motion.tensors.values()), layer
    assert all(weight.grad is None and not weight.requires_grad for weight in network(model).parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_changes_nothing(kind: str) -> None:
    model = tiny(kind)
    plain, motion = call(model), random_embedding(model.denoiser.backbone)
    zeros = MotionEmbedding.zeros(model.denoiser.backbone, "all", FRAMES, SIZE)
    assert torch.equal(call(model, MotionPatch(zeros)), plain)
    assert torch.equal(call(model, MotionPatch(motion, strength_qk=0, strength_v=0)), plain)
    assert not torch.allclose(call(model, MotionPatch(motion)), plain, atol=1e-3)
    assert torch.equal(call(model), plain)


@pytest.mark.parametrize("kind", KINDS)
def test_motions_compose_and_act_on_each_video_alike(kind: str) -> None:
    model = tiny(kind, F64)
    a, b = (random_embedding(model.denoiser.backbone, seed=seed, dtype=F64) for seed in (1, 2))
    both = a.with_tensors({key: tensor + b.tensors[key] for key, tensor in a.tensors.items()})
    once = call(model, MotionPatch(both, debias="vanilla"), dtype=F64)
    torch.testing.assert_close(
        call(model, MotionPatch(a, debias="vanilla"), MotionPatch(b, debias="vanilla"), dtype=F64), once
    )
    x = randn(2, 4, FRAMES, *SIZE, dtype=F64)
    words, at = model.conditioning(2, 7), torch.tensor([500, 500])
    ready = [MotionPatch(a).prepare(FRAMES, SIZE, "cpu", F64)]
    together = model.denoiser(x, at, words, ready)
    for i in range(2):
        alone = model.denoiser(x[i : i + 1], at[:1], words[i : i + 1], ready)
        torch.testing.assert_close(together[i : i + 1], alone)


def network(model: Tiny) -> Any:
    denoiser: Any = model.denoiser
    return getattr(denoiser, "network", None) or denoiser.unet


def attentions(model: Tiny) -> dict[tuple[str, str], Any]:
    """The attention of every layer that motions act on, by layer and name."""
    inside = "" if model.denoiser.backbone.stacked else "transformer_blocks.0."
    names = [(layer.name, attention) for layer in model.denoiser.backbone.layers for attention in layer.attentions]
    return {name: network(model).get_submodule(f"{name[0]}.{inside}{name[1]}") for name in names}


def attended(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """softmax(q·kᵀ / √d)·v of `[n, l, c]`, head by head."""
    found = []
    for q_, k_, v_ in zip(*(t.chunk(heads, dim=-1) for t in (q, k, v)), strict=True):
        scores = (q_ @ k_.transpose(1, 2) / math.sqrt(q_.shape[-1])).exp()
        found.append(scores / scores.sum(dim=-1, keepdim=True) @ v_)
    return torch.cat(found, dim=-1)


def over_frames(attn: Any, given: tuple, m_qk: Tensor, m_v: Tensor) -> Tensor:
    """softmax(Wq(F + m_qk)·Wk(F + m_qk)ᵀ / √d) · Wv(F + m_v) of `[(b n), f, c]`; m_qk `[1, f, c]`, m_v `[n, f, c]`."""
    x = given[0]
    m_v = m_v.repeat(len(x) // len(m_v), 1, 1)
    q, k, v = ((x + m) @ to.weight.T for m, to in ((m_qk, attn.to_q), (m_qk, attn.to_k), (m_v, attn.to_v)))
    return attended(q, k, v, attn.heads) @ attn.to_out[0].weight.T + attn.to_out[0].bias


def over_frames_and_places(attn: Any, given: tuple, m_qk: Tensor, m_v: Tensor) -> Tensor:
    """The same of `[b, f·n, c]`, where q and k are scaled to a root mean square of one and turned by their places."""
    x, cosines, sines = given[0], *given[-1]
    m_qk = m_qk.repeat_interleave(len(m_v), dim=0)
    q, k, v = (
        (x + m.transpose(0, 1).flatten(0, 1)) @ to.weight.T + to.bias
        for m, to in ((m_qk, attn.to_q), (m_qk, attn.to_k), (m_v, attn.to_v))
    )
    q, k = (
        y * (y.square().mean(dim=-1, keepdim=True) + norm.eps).rsqrt() * norm.weight
        for y, norm in ((q, attn.norm_q), (k, attn.norm_k))
    )
    turn = torch.complex(cosines[..., 0::2].double(), sines[..., 1::2].double())

    def turned(y: Tensor) -> Tensor:
        pairs = torch.view_as_complex(y.unflatten(-1, (attn.heads, -1, 2)).contiguous())
        return torch.view_as_real(pairs * turn).flatten(-3)

    return attended(turned(q), turned(k), v, attn.heads) @ attn.to_out[0].weight.T + attn.to_out[0].bias


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("debias", ["vanilla", "difference"])
@pytest.mark.parametrize("strengths", [(1.0, 1.0), (0.5, -2.0), (1.0, 0.0)])
def test_patched_attention_is_the_formula(kind: str, debias: str, strengths: tuple[float, float]) -> None:
    """At every layer, of what the layer itself was given in a whole pass of the model."""
    model = tiny(kind, F64)
    motion = random_embedding(model.denoiser.backbone, dtype=F64)
    seen: dict[tuple[str, str], tuple[tuple, Tensor]] = {}
    hooks = [
        module.register_forward_hook(
            lambda _, given, named, out, name=name: seen.__setitem__(name, (given or (named["hidden_states"],), out)),
            with_kwargs=True,
        )
        for name, module in attentions(model).items()
    ]
    call(model, MotionPatch(motion, *strengths, debias=debias), videos=2, dtype=F64)
    for hook in hooks:
        hook.remove()
    formula, tested = over_frames_and_places if model.denoiser.backbone.stacked else over_frames, 0
    for (layer, attention), module in attentions(model).items():
        if layer not in motion.layers:
            continue
        given, out = seen[layer, attention]
        m_qk = strengths[0] * motion.tensors[f"{layer}.qk"]
        m_v = strengths[1] * DEBIAS[debias](motion.tensors[f"{layer}.{attention}.v"])
        torch.testing.assert_close(out, formula(module, given, m_qk, m_v), rtol=1e-10, atol=1e-10)
        tested += 1
    assert tested == sum(len(motion.backbone[layer].attentions) for layer in motion.layers) > 4


@pytest.mark.parametrize("process", [VP, FlowMatching()], ids=["epsilon", "flow"])
@pytest.mark.parametrize("kind", KINDS)
def test_trained_saved_loaded_and_applied_at_another_size(kind: str, process: Process, tmp_path: Path) -> None:
    model = tiny(kind, process=process)
    backbone: Backbone = model.denoiser.backbone
    empty = MotionEmbedding.zeros(backbone, "all", FRAMES, SIZE)
    state = TrainingState.start(empty, TrainingSettings(steps=3, learning_rate=0.05), "cpu")
    assert len(list(train(model.denoiser, randn(1, 4, FRAMES, *SIZE), model.conditioning(1, 7), state))) == 3
    assert all(tensor.abs().max() > 0 for tensor in state.learned.tensors.values())
    save_embedding(tmp_path / "m.safetensors", state.learned, torch.float32)
    loaded = load_embedding(tmp_path / "m.safetensors")
    assert loaded.backbone == backbone
    assert all(torch.equal(loaded.tensors[key], tensor) for key, tensor in state.learned.tensors.items())
    noise, words = randn(1, 4, 5, 6, 8, seed=3), model.conditioning(1, 7)
    free = sample(model.denoiser, noise, words, steps=2)
    moved = sample(model.denoiser, noise, words, steps=2, patches=[MotionPatch(loaded)])
    assert moved.shape == noise.shape and moved.isfinite().all() and not torch.equal(moved, free)


@pytest.mark.parametrize("kind", KINDS)
def test_a_motion_of_another_family_is_refused(kind: str) -> None:
    others = [other for other in KINDS if family_of(other).name != family_of(kind).name]
    for other in others:
        motion = random_embedding(tiny(other).denoiser.backbone)
        with pytest.raises(MotionError, match=f"trained for {family_of(other).name} .* does not fit"):
            sample(
                tiny(kind).denoiser,
                randn(1, 4, FRAMES, *SIZE),
                tiny(kind).conditioning(1, 7),
                steps=1,
                patches=[MotionPatch(motion)],
            )


def test_more_frames_than_animatediff_has_positions_for() -> None:
    model = tiny("UNetMotionModel")
    with pytest.raises(MotionError, match="up to 8 frames, not of 9"):
        model.denoiser(randn(1, 4, 9, *SIZE), torch.tensor([500]), model.conditioning(1, 7))


@pytest.mark.parametrize("kind", KINDS)
def test_every_mode_that_a_family_offers_is_that_of_plain(kind: str) -> None:
    """And nothing of the model has changed afterwards."""
    model, clip = tiny(kind, F64), randn(1, 4, FRAMES, *SIZE, dtype=F64)
    motion, words, at = random_embedding(model.denoiser.backbone, dtype=F64), model.conditioning(1, 7), TIME

    def gradients(denoiser: Denoiser) -> list[Tensor]:
        patch = MotionPatch(motion).prepare(FRAMES, SIZE, "cpu", F64).each(lambda m: m.detach().requires_grad_())
        learned = flat([patch])[1]
        loss = denoiser(clip, at, words, [patch]).square().mean()
        return list(torch.autograd.grad(loss, learned))

    before = {module: set(vars(module)) for module in network(model).modules()}
    expected = gradients(model.denoiser)
    offered = [mode for mode in model.denoiser.abilities.modes if mode not in ("auto", "plain")]
    assert "low_memory" in offered and all(gradient.abs().max() > 0 for gradient in expected)
    for mode in offered:
        plan = plan_training(model.denoiser, mode, clip.shape, motion)
        assert plan.mode == mode and plan.needed and bool(plan.recompute) == (mode == "low_memory")
        with accelerated(model.denoiser, plan) as ready:
            for found, true in zip(gradients(ready), expected, strict=True):
                torch.testing.assert_close(found, true, rtol=1e-9, atol=1e-12)
            free = randn(2, 4, FRAMES, *SIZE, dtype=F64)
            with torch.no_grad():
                same = ready(free, at.repeat(2), model.conditioning(2, 7))
        torch.testing.assert_close(same, model.denoiser(free, at.repeat(2), model.conditioning(2, 7)))
    assert {module: set(vars(module)) for module in network(model).modules()} == before


@pytest.mark.parametrize("kind", KINDS)
def test_auto_takes_what_fits_of_what_the_family_offers(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if on a GPU: the fastest in plenty of memory, and in none the smallest, which needs less."""
    model = tiny(kind)
    monkeypatch.setattr(kernels, "kernels_run", lambda device: True)
    able, shape, motion = model.denoiser.abilities, (1, 4, FRAMES, 16, 16), random_embedding(model.denoiser.backbone)
    gpu = torch.device("cuda")
    plenty, none = (plan_training(model.denoiser, "auto", shape, motion, gpu, free) for free in (2**50, 0))
    assert (plenty.mode, plenty.graphs) == ("fast" if able.fast else "plain", able.fast) and none.mode == "low_memory"
    assert none.recompute == able.rungs[-1] and none.needed is not None and plenty.needed is not None
    assert none.needed < plenty.needed
    assert plan_training(model.denoiser, "auto", shape, motion).mode == "plain"  # on a CPU
    assert plan_training(model.denoiser, "plain", shape, motion, gpu) == Plan("plain")
    assert plan_sampling(model.denoiser).mode == "plain"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "UNet3DConditionModel"])
def test_what_a_family_cannot_do_is_said_with_its_name(kind: str) -> None:
    model, motion = tiny(kind), random_embedding(tiny(kind).denoiser.backbone)
    name = model.denoiser.backbone.family
    with pytest.raises(MotionError) as said:
        plan_training(model.denoiser, "fast", (1, 4, FRAMES, *SIZE), motion)
    assert str(said.value) == (
        f"This model of the family {name} cannot train in mode fast, because its family has no faster pass: use mode "
        f"auto, low_memory or plain."
    )
    with pytest.raises(MotionError, match=f"family {name} only runs as its library runs it"):
        replace(model.denoiser.abilities, compute=None).run(())


def test_a_folder_as_the_pipeline_saves_it_learns_and_generates(tmp_path: Path) -> None:
    folder = build(tmp_path / "animated")
    shutil.rmtree(folder / "unet")
    made: Any = tiny("UNetMotionModel").denoiser
    made.unet.save_pretrained(folder / "unet")
    model = load_model(folder)
    assert model.denoiser.backbone == made.backbone
    clip = (torch.rand(3, 10, 12, 3) * 255).to(torch.uint8)
    latents, words = model.encode_video(clip), model.encode_prompt(["a bar"])
    preset = replace(PRESETS["object"], settings=replace(PRESETS["object"].settings, steps=2))
    empty = preset.empty(model.denoiser.backbone, 3, (5, 6))
    state = TrainingState.start(empty, preset.settings, "cpu")
    assert len(list(train(model.denoiser, latents, words, state))) == 2
    noise = model.noise(3, 12, 10, seed=1)
    (video,) = model.generate("a robot", noise, patches=[preset.patch(state.learned)], steps=2, guidance=3.0)
    assert video.shape == clip.shape and video.dtype == torch.uint8
    assert model.invert(clip, steps=2).shape == latents.shape == noise.shape
    with pytest.raises(MotionError, match=r"noise is for 2 videos, but 1 prompts"):
        model.generate("a robot", noise.repeat(2, 1, 1, 1, 1))
    with pytest.raises(MotionError, match="needs a prompt"):
        model.generate([])


@pytest.mark.skipif(not OLD, reason="this diffusers has Wan")
def test_wan_needs_a_newer_diffusers() -> None:
    with pytest.raises(MotionError, match=r"need diffusers 0.35 or newer, but .* is installed"):
        family_of("WanTransformer3DModel")
