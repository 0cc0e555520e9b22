"""The faster pass under the host's samplers: when it is taken, and that it computes the same. Without a GPU it is asked
for; recordings need one."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import comfy.hooks
import comfy.model_management as management
import torch
from comfy.cli_args import args
from comfy_process import embedding, inputs, largest, model, pack, prediction, sampled

KEY = "diffusion_model.up_blocks.1.temp_attentions.0.transformer_blocks.0.attn1.to_v.weight"
LAYER = KEY.removeprefix("diffusion_model.").removesuffix(".weight")


def unet() -> Any:
    return model()[0].model.diffusion_model


@contextlib.contextmanager
def passes(fast: bool) -> Iterator[dict[str, int]]:
    """Counts the calls of both passes while the faster one is wanted, or not."""
    home, kind = pack("nodes.host.sampling"), pack("nodes.host.unet").HostUNet3D
    count, run = {"fast": 0, "diffusers": 0}, home.SamplingRun

    def counted(name: str, function: Callable) -> Callable:
        def call(*given, **named):
            count[name] += 1
            return function(*given, **named)

        return call

    with (
        mock.patch.object(home, "faster", lambda unet, device: fast),
        mock.patch.object(run, "__call__", counted("fast", run.__call__)),
        mock.patch.object(kind, "as_diffusers", counted("diffusers", kind.as_diffusers)),
    ):
        yield count


def both(compute: Callable[[], torch.Tensor], of: Any = None) -> dict:
    """The result with the faster pass against that without, which passes were called, and whether the run is over."""
    with passes(False) as slow:
        expected = compute()
    assert slow["fast"] == 0
    with passes(True) as count:
        found = compute()
    return {
        "difference": largest(found, expected),
        "off": off(found, expected),
        **count,
        "over": (of or unet()).sampling is None,
    }


def off(found: torch.Tensor, expected: torch.Tensor) -> float:
    """How far, as a part of the whole: the largest value of a few can double where BLAS rounds otherwise."""
    return float((found - expected).norm() / expected.norm())


def noise(frames: int = 4) -> torch.Tensor:
    return torch.randn(frames, 4, 16, 16, generator=torch.Generator().manual_seed(7))


def patch(frames: int = 4, **given):
    return pack("motion_lib.method.patch").MotionPatch(
        embedding(frames), **{"strength_v": 0.5, "debias": "difference"} | given
    )


def patched(patcher, **given):
    return pack("nodes.apply").patched(patcher, patch(**given))


def _change(weight: torch.Tensor) -> torch.Tensor:
    return 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(8))


def with_lora(patcher):
    tuned = patcher.clone()
    weight = patcher.model.state_dict()[KEY]
    assert tuned.add_patches({KEY: (_change(weight),)}, 1.0) == [KEY]
    return tuned


def faster_sampling() -> dict:
    """What the faster pass is for."""
    plain = model()[0]
    whole = both(lambda: sampled(plain, noise(), 2))
    before = sampled(plain, noise(), 2)
    lora_effect = off(sampled(with_lora(plain), noise(), 2), before)
    found = {
        "guidance": whole,
        "no guidance": both(lambda: sampled(plain, noise(), 2, cfg=1.0)),
        "patch": both(lambda: sampled(patched(plain), noise(), 2)),
        "patch in a part": both(lambda: sampled(patched(plain, start=0.4, end=0.9), noise(), 3)),
        "patch on a hook": both(lambda: sampled(plain.clone(), noise(), 2, hooks=_hooks())),
        "LoRA": both(lambda: sampled(with_lora(plain), noise(), 2)),
        "LoRA and patch": both(lambda: sampled(patched(with_lora(plain)), noise(), 2)),
        "LoRA on a hook": both(lambda: sampled(plain.clone(), noise(), 2, hooks=_weight_hooks())),
        "video as 5D": both(lambda: _as_video(plain)),
        "inversion": both(lambda: _in_a_run(plain, lambda: prediction(plain, *inputs(4)[:1], 500, inputs(4)[1]))),
    }
    return {**found, "lora_effect": lora_effect, "after": largest(sampled(plain, noise(), 2), before)}


def _hooks():
    hooks = comfy.hooks.HookGroup()
    ready = pack("nodes.host.patch")
    hooks.add(comfy.hooks.TransformerOptionsHook({"patches": {ready.KEY: [ready.AppliedPatch(patch())]}}))
    return hooks


def _weight_hooks():
    """A LoRA on one conditioning only, which the host writes into the weights and takes out again within every step."""
    hooks = comfy.hooks.HookGroup()
    hook = comfy.hooks.WeightHook(strength_model=1.0, strength_clip=0.0)
    hook.weights = {KEY: (_change(model()[0].model.state_dict()[KEY]),)}
    hook.need_weight_init = False
    hooks.add(hook)
    return hooks


def _as_video(patcher) -> torch.Tensor:
    x, context = inputs(4)
    sigma = torch.tensor([2.0])

    def call() -> torch.Tensor:
        return patcher.model.apply_model(x, sigma, c_crossattn=context, transformer_options={})

    return _in_a_run(patcher, call)


def _in_a_run(patcher, call: Callable[[], torch.Tensor]) -> torch.Tensor:
    patcher.pre_run()
    try:
        with torch.inference_mode():
            return call().clone()
    finally:
        patcher.cleanup()


def diffusers_pass_instead() -> dict:
    """What the faster pass leaves alone."""
    plain = model()[0]
    before = sampled(plain, noise(), 2)
    wrapped, replaced = plain.clone(), _with_other_layer(plain)
    wrapped.add_weight_wrapper(KEY, lambda weight: 1.5 * weight)
    found = {  # the wrapper comes last: the host takes it off a layer only when it next loads that layer
        "object patch": both(lambda: sampled(replaced, noise(), 2)),
        "hook of a module": both(lambda: _hooked(plain)),
        "forward of a module": both(lambda: _bypassed(plain)),
        "processor": both(lambda: _with_other_processor(plain)),
        "gradients": both(lambda: _with_gradients(plain)),
        "not in a run": both(lambda: prediction(plain, *inputs(4)[:1], 500, inputs(4)[1])),
        "weight wrapper": both(lambda: sampled(wrapped, noise(), 2)),
    }
    management.unload_all_models()
    sampled(plain, noise(), 2)
    with passes(False):
        effects = {
            "object patch": largest(sampled(replaced, noise(), 2), before),
            "hook of a module": largest(_hooked(plain), before),
            "forward of a module": largest(_bypassed(plain), before),
            "after": largest(sampled(plain, noise(), 2), before),
            "weight wrapper": largest(sampled(wrapped, noise(), 2), before),
        }
    management.unload_all_models()
    return {**found, "effects": effects}


def _with_other_layer(patcher):
    changed = patcher.clone()
    layer = torch.nn.Linear(*reversed(unet().get_submodule(LAYER).weight.shape), bias=False).requires_grad_(False)
    with torch.inference_mode(False):
        layer.weight.data = unet().get_submodule(LAYER).weight.detach().clone() * 1.5
    changed.add_object_patch(f"diffusion_model.{LAYER}", layer)
    return changed


def _hooked(patcher) -> torch.Tensor:
    handle = unet().mid_block.register_forward_hook(lambda module, given, out: 2 * out)
    try:
        return sampled(patcher, noise(), 2)
    finally:
        handle.remove()


def _bypassed(patcher) -> torch.Tensor:
    """As ComfyUI's own bypass of LoRA puts itself before a layer."""
    layer = unet().get_submodule(LAYER)
    original = layer.forward
    layer.forward = lambda x: 1.5 * original(x)
    try:
        return sampled(patcher, noise(), 2)
    finally:
        del layer.forward


def _with_other_processor(patcher) -> torch.Tensor:
    attention = unet().mid_block.temp_attentions[0].transformer_blocks[0].attn1
    original = attention.processor
    attention.processor = type(original)(original.layer, original.attention)
    try:
        return sampled(patcher, noise(), 2)
    finally:
        attention.processor = original


def _with_gradients(patcher) -> torch.Tensor:
    x, context = inputs(4)
    patcher.pre_run()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            options = {"transformer_options": {}}
            return patcher.model.apply_model(x, torch.tensor([2.0]), c_crossattn=context, **options).detach()
    finally:
        patcher.cleanup()


def weights_elsewhere() -> dict:
    """Weights that are cast, or moved in for each call."""
    args.fp16_unet = True
    try:
        half = pack("nodes.host.model").load_patcher(pack("nodes.host.folders").video_models()["sprite_t2v"])
    finally:
        args.fp16_unet = False
    its = half.model.diffusion_model
    cast = both(lambda: sampled(half, noise(), 2), its)
    management.unload_all_models()
    plain = model()[0]
    plain.unpatch_model()
    plain.patch_model(lowvram_model_memory=1)
    partly = both(lambda: _in_a_run(plain, lambda: prediction(plain, *inputs(4)[:1], 500, inputs(4)[1])))
    plain.unpatch_model(plain.offload_device)
    return {"cast": cast, "cast_dtype": str(half.model.get_dtype()), "moved in": partly}


def stopped_runs() -> dict:
    """A run that fails, one that is interrupted and one in which the model is copied leave nothing behind."""

    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    broken = model()[0].clone()
    broken.set_model_unet_function_wrapper(stop)
    with passes(True), contextlib.suppress(Stop):
        sampled(broken, noise(), 2)
    after_failure = unet().sampling is None
    with passes(True) as count:
        interrupted = False
        try:
            _in_a_run(model()[0], _interrupted)
        except management.InterruptProcessingException:
            interrupted = True
    model()[0].pre_run()
    copied = unet().sampling is not None and copy.deepcopy(unet()).sampling is None
    model()[0].cleanup()
    found = {"after_failure": after_failure, "interrupted": interrupted, "copied": copied}
    return {**found, **count, "over": unet().sampling is None}


def _interrupted() -> torch.Tensor:
    x, context = inputs(4)
    management.interrupt_current_processing()
    return model()[0].model.apply_model(x, torch.tensor([2.0]), c_crossattn=context, transformer_options={})
