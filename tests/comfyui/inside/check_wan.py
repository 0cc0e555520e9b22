"""Motions on a MODEL of Wan of ComfyUI's own class: random weights, as small as the class lets it be."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path

import comfy.ldm.modules.attention
import comfy.ldm.wan.model
import comfy.model_patcher
import comfy.model_sampling
import comfy.patcher_extension
import comfy.sample
import comfy.supported_models
import torch
from comfy_process import largest, pack
from safetensors.torch import save_file

FRAMES, SIZE, TEXT = 3, (5, 6), 24  # the sides of the latents are odd as well
CONFIG = {
    "image_model": "wan2.1",
    "model_type": "t2v",
    "dim": 256,
    "num_heads": 2,
    "ffn_dim": 64,
    "num_layers": 6,
    "text_dim": TEXT,
    "in_dim": 36,
    "out_dim": 16,
}


@lru_cache(maxsize=1)
def models():
    """The same weights as a MODEL and as the library's denoiser."""
    torch.manual_seed(0)
    made = pack("motion_lib.sprites.recipe.wan.dit").Transformer(256, 64, 6, TEXT)
    for parameter in made.parameters():
        parameter.data = parameter.data + 0.02 * torch.randn_like(parameter)
    config = comfy.supported_models.WAN21_T2V(dict(CONFIG))
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "", device="cpu")
    model.diffusion_model.load_state_dict(made.state_dict())
    patcher = comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "wan.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in made.state_dict().items()}, file)
        part = pack("motion_lib.backbones.wan.single_file").transformer_part(file)
        process = pack("motion_lib.diffusion.flow").FlowMatching(1000, 8.0)
        denoiser = pack("motion_lib.backbones.wan.denoiser").load(part, process, torch.device("cpu"), torch.float32)
    return patcher, denoiser


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def embedding(seed: int = 1, components: str = "both", **choices: str):
    kind, backbone = pack("motion_lib.method.embedding").MotionEmbedding, models()[1].backbone
    zeros = kind.zeros(backbone, "middle", FRAMES, SIZE, components, **choices)
    return zeros.with_tensors(
        {k: 0.5 * draw(*t.shape, seed=seed + i) for i, (k, t) in enumerate(zeros.tensors.items())}
    )


def patch(*given, **named):
    return pack("motion_lib.method.patch").MotionPatch(*given, **named)


def velocity(model, x: torch.Tensor, level: float, text: torch.Tensor) -> torch.Tensor:
    options = dict(model.model_options["transformer_options"])
    wrappers = options.setdefault("wrappers", {})
    comfy.patcher_extension.merge_nested_dicts(wrappers, model.wrappers, copy_dict1=False)
    sigma = torch.full((len(x),), level)
    given = torch.zeros(len(x), 20, *x.shape[2:])
    with torch.no_grad():
        clean = model.model.apply_model(x, sigma, c_concat=given, c_crossattn=text, transformer_options=options)
    return (x - clean) / level


def sampled(model, text: torch.Tensor) -> torch.Tensor:
    noise, conds = draw(1, 16, FRAMES, *SIZE, seed=5), [[[text, {}]], [[0.5 * text, {}]]]
    with torch.inference_mode():
        return comfy.sample.sample(
            model, noise, 4, 3.0, "euler", "simple", *conds, torch.zeros_like(noise), disable_pbar=True, seed=0
        )


def whole(check):
    """Nothing of it where diffusers is too old for Wan."""

    def checked() -> dict:
        try:
            pack("motion_lib.backbones.wan")
        except pack("motion_lib.errors").MotionError as error:
            return {"skipped": str(error)}
        return check()

    checked.__name__ = check.__name__
    return checked


@whole
def wan_equals_library() -> dict:
    patcher, denoiser = models()
    x, text = draw(2, 16, FRAMES, *SIZE, seed=3), draw(2, 5, TEXT, seed=4)
    apply, found = pack("nodes.apply").patched, {}
    cases = {
        "both": [patch(embedding())],
        "value, of low rank": [patch(embedding(2, "v", integration="concatenate", v_axes="coarse"))],
        "query-key": [patch(embedding(3, "qk"), 0.7)],
        "two": [patch(embedding(), 0.7, -0.4, "difference"), patch(embedding(9, "v"), debias="normalize")],
    }
    level = 0.1  # at higher ones float32 leaves fewer digits of the angles of a noise level
    at = torch.full((2,), 1000 * level)
    with torch.no_grad():
        plain = denoiser(x, at, text)
        found["none"] = {"difference": largest(velocity(patcher, x, level, text), plain), "effect": 0.0}
        for name, patches in cases.items():
            ready = [each.prepare(FRAMES, SIZE, "cpu", torch.float32) for each in patches]
            expected, model = denoiser(x, at, text, ready), patcher
            for each in patches:
                model = apply(model, each)
            difference = largest(velocity(model, x, level, text), expected)
            found[name] = {"difference": difference, "effect": largest(expected, plain)}
    return found


@whole
def wan_in_sampling() -> dict:
    """Through KSampler; shift is changed after the motion was put on."""
    patcher, _ = models()
    text, apply = draw(1, 5, TEXT, seed=4), pack("nodes.apply").patched
    before = sampled(patcher, text)
    moved = apply(patcher, patch(embedding()))
    shifted = moved.clone()
    sampling = type("Shifted", (comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST), {})()
    sampling.set_parameters(shift=3.0)
    shifted.add_object_patch("model_sampling", sampling)
    early = apply(patcher, patch(embedding(), end=0.1))
    return {
        "effect": largest(sampled(moved, text), before),
        "effect_again": largest(sampled(moved, text), before),
        "early": largest(sampled(early, text), before),
        "shifted": largest(sampled(shifted, text), before),
        "strength_0": largest(sampled(apply(patcher, patch(embedding(), 0.0, 0.0)), text), before),
        "after": largest(sampled(patcher, text), before),
    }


@whole
def wan_beside_others() -> dict:
    """A replacement and an override of attention that were there before go on acting."""
    patcher, _ = models()
    x, text, met = draw(1, 16, FRAMES, *SIZE, seed=3), draw(1, 5, TEXT, seed=4), {"block": 0, "attention": 0}

    def block(args, extra):
        met["block"] += 1
        return extra["original_block"](args)

    def attention(compute, *given, **named):
        met["attention"] += 1
        return compute(*given, **named)

    other = patcher.clone()
    other.set_model_patch_replace(block, "dit", "double_block", 2)
    other.model_options["transformer_options"]["optimized_attention_override"] = attention
    both = pack("nodes.apply").patched(other, patch(embedding()))
    alone = pack("nodes.apply").patched(patcher, patch(embedding()))
    return {"difference": largest(velocity(both, x, 0.5, text), velocity(alone, x, 0.5, text)), **met}


@whole
def wan_in_newer_hosts() -> dict:
    """As ComfyUI 0.38 calls attention for Wan: in containers, which an override gets emptied."""
    patcher, _ = models()
    x, text, met = draw(1, 16, FRAMES, *SIZE, seed=3), draw(1, 5, TEXT, seed=4), []
    if not hasattr(comfy.ldm.modules.attention, "AttentionTensorContainer"):
        return {"skipped": "this host has no containers"}
    ours, own = pack("nodes.apply").patched(patcher, patch(embedding())), comfy.ldm.wan.model.optimized_attention
    expected, plain = velocity(ours, x, 0.5, text), velocity(patcher, x, 0.5, text)

    def contained(q, k, v, *rest, **named):
        met.append(named["transformer_options"].get("optimized_attention_override") is not None)
        return own(*map(comfy.ldm.modules.attention.AttentionTensorContainer, (q, k, v)), *rest, **named)

    comfy.ldm.wan.model.optimized_attention = contained
    try:
        moved, same = velocity(ours, x, 0.5, text), velocity(patcher, x, 0.5, text)
    finally:
        comfy.ldm.wan.model.optimized_attention = own
    return {"moved": largest(moved, expected), "plain": largest(same, plain), "overridden": sum(met), "calls": len(met)}


@whole
def wan_errors() -> dict:
    patcher, _ = models()
    x, text, errors = draw(1, 16, FRAMES, *SIZE, seed=3), draw(1, 5, TEXT, seed=4), {}
    apply = pack("nodes.apply").patched
    unet = pack("motion_lib.backbones").load_model("sprite_t2v").denoiser.backbone
    other = pack("motion_lib.method.embedding").MotionEmbedding.zeros(unet, "coarse_up", FRAMES, (16, 16))
    tries = {
        "another family": lambda: apply(patcher, patch(other)),
        "multiplied": lambda: velocity(apply(patcher, patch(embedding(integration="multiply"))), x, 0.5, text),
        "query-key with places": lambda: velocity(apply(patcher, patch(embedding(qk_axes="full"))), x, 0.5, text),
        "learning": lambda: pack("nodes.host.denoiser").ModelDenoiser(patcher),
        "a clip to learn from": lambda: pack("nodes.host.denoiser").video_latents(patcher, {"samples": x}, x.device),
    }
    for name, attempt in tries.items():
        try:
            attempt()
            errors[name] = "nothing was raised"
        except pack("motion_lib.errors").MotionError as error:
            errors[name] = str(error)
    return errors
