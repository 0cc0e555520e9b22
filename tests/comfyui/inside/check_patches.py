"""Motion patches beside everything else that acts on a MODEL."""

from __future__ import annotations

import torch
from check_sampling import passes
from comfy_process import embedding, inputs, largest, library, model, pack, prediction, sampled


def unpatched_stays_identical() -> dict:
    noise = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(7))
    before = sampled(model()[0], noise, 2)
    patch = pack("motion_lib.method.patch").MotionPatch(embedding(), 1.0, 1.0)
    applied = pack("nodes.apply").patched(model()[0], patch)
    effect = largest(sampled(applied, noise, 2), before)

    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    broken = applied.clone()
    broken.set_model_unet_function_wrapper(stop)
    try:
        sampled(broken, noise, 2)
    except Stop:
        pass
    zero = pack("motion_lib.method.patch").MotionPatch(embedding(), 0.0, 0.0)
    nothing = pack("nodes.apply").patched(model()[0], zero)
    return {
        "after": largest(sampled(model()[0], noise, 2), before),
        "at_strength_0": largest(sampled(nothing, noise, 2), before),
        "effect": effect,
        "effect_again": largest(sampled(applied, noise, 2), before),
    }


def patches_compose() -> dict:
    x, context = inputs()
    kind = pack("motion_lib.method.patch").MotionPatch
    first, second = kind(embedding(), 0.7, 1.0), kind(embedding(8, 0.2), 1.0, 0.4, debias="normalize")
    ready = [patch.prepare(8, (16, 16), "cpu", torch.float32) for patch in (first, second)]
    with torch.no_grad():
        expected = library().denoiser(x, torch.tensor([500]), context, ready)
    apply = pack("nodes.apply").patched
    both = apply(apply(model()[0], first), second)
    return {"difference": largest(prediction(both, x, 500, context), expected)}


def hooks_equal_model_patch() -> dict:
    import comfy.hooks

    host = pack("nodes.host.patch")
    patch = pack("motion_lib.method.patch").MotionPatch(embedding(), 1.0, 1.0)
    noise = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(7))
    hooks = comfy.hooks.HookGroup()
    hooks.add(comfy.hooks.TransformerOptionsHook({"patches": {host.KEY: [host.AppliedPatch(patch)]}}))
    by_hook = sampled(model()[0].clone(), noise, 2, hooks=hooks)
    by_model = sampled(pack("nodes.apply").patched(model()[0], patch), noise, 2)
    return {"difference": largest(by_hook, by_model), "effect": largest(by_model, sampled(model()[0], noise, 2))}


def lora_and_patch() -> dict:
    """Weight patches act beneath a motion patch, and are gone afterwards."""
    x, context = inputs()
    before = prediction(model()[0], x, 500, context)
    key = "diffusion_model.up_blocks.1.temp_attentions.0.transformer_blocks.0.attn1.to_q.weight"
    weight = model()[0].model.state_dict()[key]
    tuned = model()[0].clone()
    assert tuned.add_patches({key: (0.5 * torch.ones_like(weight),)}, 1.0) == [key]
    import comfy.model_management

    comfy.model_management.load_models_gpu([tuned])
    patch = pack("motion_lib.method.patch").MotionPatch(embedding(), 1.0, 1.0)
    with_both = prediction(pack("nodes.apply").patched(tuned, patch), x, 500, context)
    with_lora = prediction(tuned, x, 500, context)
    comfy.model_management.load_models_gpu([model()[0]])
    with_patch = prediction(pack("nodes.apply").patched(model()[0], patch), x, 500, context)
    return {
        "lora_effect": largest(with_lora, before),
        "lora_under_patch": largest(with_both, with_patch),
        "after": largest(prediction(model()[0], x, 500, context), before),
    }


def context_windows() -> dict:
    """A window takes the rows of its own frames out of the motion of the whole video."""
    host, kind = pack("nodes.host.patch"), pack("motion_lib.method.patch").MotionPatch
    x, context = inputs(8)
    rows = [4, 5, 6, 7, 8, 9, 10, 11]
    whole = embedding(16)
    expected_embedding = whole.with_tensors({k: t[:, rows] for k, t in whole.tensors.items()}, frames=8)
    expected = prediction(pack("nodes.apply").patched(model()[0], kind(expected_embedding)), x, 500, context)
    applied = pack("nodes.apply").patched(model()[0], kind(whole))
    import comfy.context_windows

    window = comfy.context_windows.IndexListContextWindow(rows, dim=0, total_frames=16)
    denoiser = pack("nodes.host.denoiser").ModelDenoiser(applied)
    denoiser.options["context_window"] = window
    with torch.no_grad():
        found = denoiser(x, torch.tensor([500]), context)
    assert host.KEY in denoiser.options["patches"]
    return {"difference": largest(found, expected)}


def compiled() -> dict:
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    patch = pack("motion_lib.method.patch").MotionPatch(embedding(4), 1.0, 1.0)
    noise = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(7))
    plain = model()[0].clone()
    set_torch_compile_wrapper(plain, backend="eager")
    applied = pack("nodes.apply").patched(plain, patch)
    eager = pack("nodes.apply").patched(model()[0], patch)
    with passes(True) as called:  # the faster pass is left out of compiled code even where it is wanted
        found = sampled(applied, noise, 2), sampled(plain, noise, 2)
    with passes(False):
        expected = sampled(eager, noise, 2), sampled(model()[0], noise, 2)
    return {
        "patched": largest(found[0], expected[0]),
        "unpatched": largest(found[1], expected[1]),
        "faster_pass": called["fast"],
    }
