"""Motions on a MODEL of Wan of ComfyUI's own class: random weights, as small as the class lets it be."""

from __future__ import annotations

import dataclasses
import tempfile
from functools import lru_cache
from pathlib import Path

import comfy.ldm.modules.attention
import comfy.ldm.wan.model
import comfy.model_management
import comfy.model_patcher
import comfy.model_sampling
import comfy.patcher_extension
import comfy.sample
import comfy.samplers
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
    with torch.inference_mode():  # as the executor does
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
    """Nothing of it where diffusers is too old for Wan, and one sentence where ComfyUI is too old to learn with it."""

    def checked() -> dict:
        try:
            pack("motion_lib.backbones.wan")
        except pack("motion_lib.errors").MotionError as error:
            return {"skipped": str(error)}
        try:
            return check()
        except pack("motion_lib.errors").MotionError as error:
            if hasattr(comfy.model_management, "in_training"):
                raise
            return {"too_old": str(error)}

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
    kinds, choices = pack("nodes.host.kinds"), pack("nodes.choices")
    kind, discrete = kinds.kind_of(patcher), patcher.clone()
    sampling = type("Discrete", (comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.EPS), {})()
    discrete.add_object_patch("model_sampling", sampling)
    tries = {
        "another family": lambda: apply(patcher, patch(other)),
        "multiplied": lambda: velocity(apply(patcher, patch(embedding(integration="multiply"))), x, 0.5, text),
        "query-key with places": lambda: velocity(apply(patcher, patch(embedding(qk_axes="full"))), x, 0.5, text),
        "the latents of an image": lambda: kind.latents({"samples": x[:, :, 0]}, x.device),
        "no words": lambda: kind.conditioning(None, x, x.device),
        "another text encoder": lambda: kind.conditioning(told(torch.zeros(1, 5, 9)), x, x.device),
        "more than a picture": lambda: kind.conditioning(told(text, context_latents=[x]), x, x.device),
        "another noise process": lambda: kinds.kind_of(discrete).process(),
        "a preset for cameras": lambda: choices.chosen_preset("camera", 0, 0, {}, kind.backbone),
    }
    for name, attempt in tries.items():
        try:
            attempt()
            errors[name] = "nothing was raised"
        except pack("motion_lib.errors").MotionError as error:
            errors[name] = str(error)
    return errors


def told(text: torch.Tensor, **more) -> list:
    return [[text, more]]


@whole
def wan_learns_as_the_library() -> dict:
    """A step of training through a MODEL whose weights were made in inference mode, as loaders make them: losses and
    what was learned against the library's, with and without blocks run again."""
    patcher, denoiser = models()
    training, kinds = pack("motion_lib.training.loop"), pack("nodes.host.kinds")
    states, presets = pack("motion_lib.training.state"), pack("motion_lib.training.presets")
    entry = presets.preset("object", denoiser.backbone)
    settings = dataclasses.replace(entry.settings, steps=2, motion_mask=0.0)
    clip, text = draw(1, 16, FRAMES, *SIZE, seed=3), draw(1, 5, TEXT, seed=4)
    found = {}

    def learned(given, conditioning, clip):
        start = entry.empty(denoiser.backbone, FRAMES, SIZE)
        begun = states.TrainingState.start(start, settings, "cpu")
        *_, state = training.train(given, clip, conditioning, begun)
        return {k: t.detach().clone() for k, t in state.learned.tensors.items()}, list(state.losses)

    expected, losses = learned(denoiser, text, clip)
    given = patcher.model.process_latent_out(clip)
    kind = kinds.kind_of(patcher)
    for memory in ("off", "on", "auto"):
        with torch.inference_mode():
            latents = kind.latents({"samples": given}, torch.device("cpu"))
            with torch.inference_mode(False):
                latents = kind.latents({"samples": given}, torch.device("cpu"))
                conditioning = kind.conditioning(told(text), latents, torch.device("cpu"))
            start = entry.empty(kind.backbone, FRAMES, SIZE)
            with kind.ready_to_train(latents, conditioning, start, memory, None) as (ours, _, plan):
                tensors, own = learned(ours, conditioning, latents)
        found[memory] = {
            "difference": max(largest(tensors[k], expected[k]) for k in expected),
            "size": max(float(t.abs().max()) for t in expected.values()),
            "losses": max(abs(a - b) for a, b in zip(own, losses, strict=True)),
            "plan": plan.describe(),
            "needed": plan.needed,
        }
    return found


@whole
def wan_inverts_as_the_library() -> dict:
    """And samples back to the clip through ComfyUI's own sampler from the noise of Mix Inversion Noise."""
    patcher, denoiser = models()
    kinds, inversion = pack("nodes.host.kinds"), pack("motion_lib.diffusion.inversion")
    kind, clip, text = kinds.kind_of(patcher), 0.5 * draw(1, 16, FRAMES, *SIZE, seed=3), draw(1, 5, TEXT, seed=4)
    latents = kind.latents({"samples": patcher.model.process_latent_out(clip)}, clip.device)
    conditioning = kind.conditioning(told(text), latents, clip.device)
    with kind.ready_to_invert(latents) as (ours, _):
        found = inversion.invert(ours, latents, conditioning, steps=6, refinements=3)
    with torch.no_grad():
        expected = inversion.invert(denoiser, clip, text, steps=6, refinements=3)
    noise = pack("nodes.noise").MixedNoise(kind.samples(found), 1.0, 0, "blend")
    start = noise.generate_noise({"samples": torch.zeros_like(clip)})
    sigmas = comfy.samplers.calculate_sigmas(patcher.get_model_object("model_sampling"), "simple", 6)
    with torch.inference_mode():
        back = comfy.sample.sample_custom(
            patcher,
            start,
            1.0,
            comfy.samplers.sampler_object("euler"),
            sigmas,
            told(text),
            told(text),
            torch.zeros_like(start),
            disable_pbar=True,
            seed=0,
        )
    return {
        "difference": largest(found, expected),
        "noise": float(found.std()),
        "back": float((patcher.model.process_latent_in(back.clone()) - clip).std()),
        "clip": float(clip.std()),
    }


@whole
def wan_learns_in_other_weights() -> dict:
    """Weights of 8 bits as loaders keep them, which are read in single precision: gradients against the same values in
    single precision."""
    import comfy.ops

    patcher, _ = models()
    clip, text = draw(1, 16, FRAMES, *SIZE, seed=3), draw(1, 5, TEXT, seed=4)
    rounded = {k: v.to(torch.float8_e4m3fn) for k, v in patcher.model.diffusion_model.state_dict().items()}
    found = []
    for dtype in (torch.float8_e4m3fn, torch.float32):
        config = comfy.supported_models.WAN21_T2V(dict(CONFIG))
        config.set_inference_dtype(dtype, torch.float32 if dtype != torch.float32 else None)
        with torch.inference_mode():
            model = config.get_model({}, "", device="cpu")
            model.diffusion_model.load_state_dict({k: v.to(dtype) for k, v in rounded.items()})
        found.append(gradients(comfy.model_patcher.ModelPatcher(model, clip.device, clip.device), clip, text))
    return {"difference": largest(*found), "size": float(found[1].abs().max())}


def gradients(patcher, clip: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """Of a squared prediction by all that an embedding learns."""
    kind = pack("nodes.host.kinds").kind_of(patcher)
    given = embedding(components="both").with_tensors(
        {k: t.clone().requires_grad_() for k, t in embedding().tensors.items()}
    )
    conditioning = kind.conditioning(told(text), clip, clip.device)
    with kind.ready_to_train(clip, conditioning, given, "off", None) as (denoiser, device, _):
        ready = patch(given).prepare(FRAMES, SIZE, device, torch.float32)
        denoiser(clip, torch.tensor([500.0]), conditioning, [ready]).square().sum().backward()
    return torch.cat([t.grad.flatten() for t in given.tensors.values()])


@whole
def wan_learns_in_scaled_weights() -> dict:
    """Files of 8 bits with a scale for each layer, as Wan is most often shared, as ComfyUI itself loads them: gradients
    against the same values in single precision."""
    import comfy.sd

    torch.manual_seed(0)
    made = pack("motion_lib.sprites.recipe.wan.dit").Transformer(256, 64, 6, 4096)
    scaled = {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    meant = {}
    for name, value in made.state_dict().items():
        meant[name] = scaled[name] = value + 0.02 * torch.randn_like(value)
        if name.startswith("blocks.") and name.endswith(".weight") and value.ndim == 2:
            scale = meant[name].abs().max() / 448
            scaled[name] = (meant[name] / scale).to(torch.float8_e4m3fn)
            scaled[name.replace(".weight", ".scale_weight")] = scale.reshape(1)
            meant[name] = scaled[name].float() * scale
    clip, text, found = draw(1, 16, FRAMES, *SIZE, seed=3), draw(1, 5, 4096, seed=4), []
    for weights in (scaled, meant):
        with torch.inference_mode():
            patcher = comfy.sd.load_diffusion_model_state_dict(dict(weights))
        found.append(gradients(patcher, clip, text))
    return {"difference": largest(*found), "size": float(found[1].abs().max())}


@whole
def wan_results_are_kept() -> dict:
    """What results are named by: equal for another MODEL of the same weights and for one with a LoRA loaded elsewhere,
    another for other weights, another shift and a LoRA."""
    patcher, _ = models()
    prints = pack("nodes.host.fingerprint")

    def state(model) -> str:
        return prints.fingerprint(prints.model_state(model))

    before, lora = state(patcher), patcher.clone()
    key = "diffusion_model.blocks.0.self_attn.q.weight"
    lora.add_patches({key: (torch.ones_like(patcher.model.diffusion_model.blocks[0].self_attn.q.weight),)}, 0.5)
    with_lora, model = state(lora), patcher.model
    sources = pack("nodes.host.wan_kind")._SOURCES
    lora.patch_model(clip_device := torch.device("cpu"))
    sources.clear()
    while_there = state(patcher)
    lora.unpatch_model(clip_device)
    sources.clear()
    shifted = patcher.clone()
    sampling = type("Shifted", (comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST), {})()
    sampling.set_parameters(shift=3.0)
    shifted.add_object_patch("model_sampling", sampling)
    others = {"lora": with_lora, "shift": state(shifted)}
    with torch.inference_mode():
        weight = model.diffusion_model.head.head.weight
        kept = weight.clone()
        weight += 0.1
        sources.clear()
        others["weights"] = state(patcher)
        weight.copy_(kept)
    sources.clear()
    return {
        "same": [before == state(patcher.clone()), before == while_there],
        "others": {name: other == before for name, other in others.items()},
    }
