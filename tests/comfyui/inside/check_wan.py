"""Motions on a MODEL of Wan."""

from __future__ import annotations

import inspect

import comfy.hooks
import comfy.ldm.modules.attention
import comfy.ldm.wan.model
import comfy.model_base
import comfy.model_management
import comfy.model_sampling
import comfy.sample
import torch
from comfy_process import largest, pack
from wan_model import FRAMES, SIZE, TEXT, draw, embedding, models, patch, told, velocity, whole


def sampled(model, text: torch.Tensor, **more) -> torch.Tensor:
    noise, conds = draw(1, 16, FRAMES, *SIZE, seed=5), [[[text, more]], [[0.5 * text, more]]]
    with torch.inference_mode():
        return comfy.sample.sample(
            model, noise, 4, 3.0, "euler", "simple", *conds, torch.zeros_like(noise), disable_pbar=True, seed=0
        )


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
def wan_compiled() -> dict:
    """Through core's node, with the guards that it leaves out: a motion put on the compiled MODEL, which ends early,
    one that was there before, and the MODEL without any. again: graphs that a second run compiles."""
    import torch._dynamo
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    patcher, _ = models()
    text, apply = draw(1, 5, TEXT, seed=4), pack("nodes.apply").patched
    early, whole_way = patch(embedding(), end=0.4), patch(embedding(9))

    def compiled(model):
        model = model.clone()
        guards = {"guard_filter_fn": lambda entries: ["transformer_options" not in entry.name for entry in entries]}
        set_torch_compile_wrapper(model, backend="eager", options=guards)
        return model

    plain, counts = compiled(patcher), torch._dynamo.utils.counters["stats"]
    found = {
        "without": largest(sampled(plain, text), sampled(patcher, text)),
        "after it": largest(sampled(apply(plain, early), text), sampled(apply(patcher, early), text)),
        "before it": largest(
            sampled(compiled(apply(patcher, whole_way)), text), sampled(apply(patcher, whole_way), text)
        ),
        "without again": largest(sampled(plain, text), sampled(patcher, text)),
    }
    graphs = counts["unique_graphs"]
    sampled(apply(plain, early), text)
    return {"differences": found, "graphs": graphs, "again": counts["unique_graphs"] - graphs}


@whole
def wan_by_hooks() -> dict:
    """What Apply puts into transformer_options acts from a hook of a conditioning, on a MODEL that Apply never saw and
    on one that has another motion."""
    patcher, _ = models()
    text, apply = draw(1, 5, TEXT, seed=4), pack("nodes.apply").patched
    moved = apply(patcher, patch(embedding()))
    carried = moved.model_options["transformer_options"]
    expected, before = sampled(moved, text), sampled(patcher, text)
    found = {"effect": largest(expected, before)}
    for scope in ("AllConditioning", "HookedOnly"):
        hooks = comfy.hooks.HookGroup()
        hooks.add(comfy.hooks.TransformerOptionsHook(carried, hook_scope=getattr(comfy.hooks.EnumHookScope, scope)))
        other = patch(embedding(9))
        found[scope] = {
            "alone": largest(sampled(patcher.clone(), text, hooks=hooks), expected),
            "beside another": largest(
                sampled(apply(patcher, other), text, hooks=hooks), sampled(apply(moved, other), text)
            ),
        }
    return found | {"after": largest(sampled(patcher, text), before)}


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
    with torch.inference_mode():
        moving = patcher.clone()
    moving.is_dynamic, moving.cached_patcher_init = (lambda: True), None  # as DynamicVRAM, of an unknown loader
    start = pack("motion_lib.training.presets").preset("object", kind.backbone).empty(kind.backbone, FRAMES, SIZE)
    learning = (x, kind.conditioning(told(text), x, x.device), start, "auto", None)
    still = pack("motion_lib.camera.path").CameraPath(torch.zeros(5, 2), torch.zeros(5), torch.zeros(5))
    tries = {
        "another family": lambda: apply(patcher, patch(other)),
        "multiplied": lambda: velocity(apply(patcher, patch(embedding(integration="multiply"))), x, 0.5, text),
        "query-key with places": lambda: velocity(apply(patcher, patch(embedding(qk_axes="full"))), x, 0.5, text),
        "the latents of an image": lambda: kind.latents({"samples": x[:, :, 0]}, x.device),
        "no words": lambda: kind.conditioning(None, x, x.device),
        "another text encoder": lambda: kind.conditioning(told(torch.zeros(1, 5, 9)), x, x.device),
        "another noise process": lambda: kinds.kind_of(discrete).process(),
        "a camera's path": lambda: pack("nodes.camera").ApplyCameraMotion.execute(patcher, still, 1.0, 1.0),
        "a preset for cameras": lambda: choices.chosen_preset("camera", 0, 0, {}, kind.backbone),
    }
    if "context_latents" in inspect.getsource(comfy.model_base.WAN21.extra_conds):  # older hosts take no notice of them
        tries["more than a picture"] = lambda: kind.conditioning(told(text, context_latents=[x]), x, x.device)
    if hasattr(comfy.model_management, "in_training"):  # older hosts learn on no Wan
        tries["weights on the move"] = lambda: kinds.kind_of(moving).ready_to_train(*learning).__enter__()
    for name, attempt in tries.items():
        try:
            attempt()
            errors[name] = "nothing was raised"
        except pack("motion_lib.errors").MotionError as error:
            errors[name] = str(error)
    return errors
