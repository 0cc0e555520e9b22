"""Temporal momentum attention on image MODELs: as the library has it, and beside what other nodes do."""

from __future__ import annotations

import comfy.hooks
import comfy.sample
import comfy.supported_models as kinds
import torch
from comfy_process import largest, pack
from image_models import (
    CONFIG,
    FRAMES,
    LINEAR,
    SDXL,
    SIZE,
    built,
    denoised,
    image_model,
    noise,
    patched,
    sampled,
    words,
)


def momentum_equals_library() -> dict:
    """At several noise levels, of both halves of guidance in one batch, for each choice of layers."""
    unet, patcher = image_model()
    momentum, denoiser = pack("motion_lib.frames_from_images.momentum"), pack("motion_lib.frames_from_images.denoiser")
    schedule = pack("motion_lib.diffusion.schedule").NoiseSchedule.from_config(
        {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    )
    library = denoiser.ImageDenoiser.of(unet, schedule)
    text, x = [words(2), words(1)], noise(2 * FRAMES)
    sampling = patcher.get_model_object("model_sampling")
    found: dict = {}
    choices = {"none": None, "usual": (0.98, 0.0, 1.0, ""), "first": (1.0, 0.0, 1.0, "")}
    choices |= {"fine": (0.9, 0.0, 1.0, "1"), "early": (0.9, 0.0, 0.4, "")}
    for name, how in choices.items():
        to = patcher if how is None else patched(*how)
        acting = None
        if how is not None:
            acting = momentum.Momentum(*how[:3], momentum.parse_scales("", how[3]))
        for timestep in (10, 500, 900):
            sigma = sampling.sigmas[timestep]
            with torch.no_grad():
                videos = x.unflatten(0, (2, FRAMES)).transpose(1, 2)
                # As ComfyUI scales what its UNet sees.
                seen = videos / (sigma**2 + 1).sqrt()
                each = type(library)(unet, schedule, acting)
                epsilon = each(seen, torch.full((2,), timestep), torch.cat(text))
                expected = (videos - sigma * epsilon).transpose(1, 2).flatten(0, 1)
            error = largest(denoised(to, x, sigma, text, (1, 0)), expected) / float(expected.abs().max())
            found[f"{name} {timestep}"] = error
    return {
        "differences": found,
        "effect": largest(denoised(patched(0.98), x, 2.0, text, (1, 0)), denoised(patcher, x, 2.0, text, (1, 0))),
    }


def momentum_unpatched_stays_identical() -> dict:
    patcher, start = image_model()[1], noise()
    before = sampled(patcher, start)
    effect = largest(sampled(patched(0.98), start), before)
    late = patched(0.98, 0.5, 1.0)
    return {
        "after": largest(sampled(patcher, start), before),
        "zero": largest(sampled(patched(0.0), start), before),
        "one_frame": largest(sampled(patched(0.98), start[:1]), sampled(patcher, start[:1])),
        "no_such_scale": largest(sampled(patched(0.98, 0.0, 1.0, "8"), start), before),
        "not_yet": largest(denoised(late, start, 10.0, [words(1)]), denoised(patcher, start, 10.0, [words(1)])),
        "by_then": largest(denoised(late, start, 0.1, [words(1)]), denoised(patcher, start, 0.1, [words(1)])),
        "effect": effect,
    }


def momentum_keeps_halves_apart() -> dict:
    """Guidance from both halves in one batch is guidance from each by itself."""
    patcher, x, text = patched(0.9), noise(), [words(2), words(1)]
    together = denoised(patcher, torch.cat([x, x]), 2.0, text, (1, 0))
    apart = torch.cat([denoised(patcher, x, 2.0, [each]) for each in text])
    return {"difference": largest(together, apart), "halves": largest(apart[:FRAMES], apart[FRAMES:])}


def momentum_beside_other_patches() -> dict:
    """LoRA, patches of self- and cross-attention by other nodes, ControlNet, hooks of a conditioning, HyperTile, and
    compilation: each acts, and the momentum acts as well."""
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    import nodes

    plain, start = image_model()[1], noise()
    found: dict = {}

    def both(name: str, other, **how) -> None:
        with_other, with_both = sampled(other, start, **how), sampled(patched(0.9, to=other), start, **how)
        found[f"{name} acts"] = largest(with_both, sampled(patched(0.9), start))
        found[f"{name} under momentum"] = largest(with_both, with_other)
        found[f"{name} after"] = largest(sampled(other, start, **how), with_other)

    key = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_v.weight"
    lora = plain.clone()
    assert lora.add_patches({key: (0.5 * torch.ones_like(plain.model.state_dict()[key]),)}, 1.0) == [key]
    both("lora", lora)

    louder, shifted = plain.clone(), plain.clone()
    louder.set_model_attn1_patch(lambda n, k, v, extra: (n, k, 1.5 * v))
    shifted.set_model_attn2_patch(lambda n, k, v, extra: (n, k.roll(1, -1), v))
    both("self-attention", louder)
    both("cross-attention", shifted)
    calls = []

    def replaced(q, k, v, extra):
        calls.append(k.shape)
        return 0.5 * torch.nn.functional.scaled_dot_product_attention(q, k, v)

    replacing = plain.clone()
    replacing.set_model_attn1_replace(replaced, "input", 1)
    both("replaced", replacing)
    found["replaced calls"] = len(calls)

    tiling = nodes.NODE_CLASS_MAPPINGS["HyperTile"]
    run = getattr(tiling, "execute", None) or tiling().patch
    torch.manual_seed(0)
    tiles = run(plain, 32, 2, 0, False)[0]
    found["tiled"] = bool(sampled(patched(0.9, to=tiles), start).isfinite().all())

    compiled = plain.clone()
    set_torch_compile_wrapper(compiled, backend="eager")
    found["compiled"] = largest(sampled(patched(0.9, to=compiled), start), sampled(patched(0.9), start))
    found["compiled unpatched"] = largest(sampled(compiled, start), sampled(plain, start))

    hooks = comfy.hooks.HookGroup()
    patches = patched(0.9).model_options["transformer_options"]["patches"]
    hooks.add(comfy.hooks.TransformerOptionsHook({"patches": {"attn1_patch": list(patches["attn1_patch"])}}))
    found["hook"] = largest(sampled(plain.clone(), start, hooks=hooks), sampled(patched(0.9), start))
    found["after"] = largest(sampled(plain, start), sampled(plain, start))
    return found


def momentum_beside_controlnet() -> dict:
    import comfy.cldm.cldm
    import comfy.controlnet
    import comfy.ops

    torch.manual_seed(3)
    config = {
        name: value
        for name, value in CONFIG.items()
        if name not in ("out_channels", "transformer_depth_output", "use_temporal_resblock", "use_temporal_attention")
    }
    network = comfy.cldm.cldm.ControlNet(
        **config, hint_channels=3, device="cpu", operations=comfy.ops.disable_weight_init
    )
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(0.05 * torch.randn(weight.shape))
    made = comfy.controlnet.ControlNet(network, load_device=torch.device("cpu"))
    picture = torch.rand(1, 3, 8 * SIZE[0], 8 * SIZE[1])
    control = made.set_cond_hint(picture, 1.0, (0.0, 1.0))
    plain, start = image_model()[1], noise()
    alone, with_both = sampled(plain, start, control=control), sampled(patched(0.9), start, control=control)
    return {
        "control_acts": largest(with_both, sampled(patched(0.9), start)),
        "momentum_acts": largest(with_both, alone),
        "after": largest(sampled(plain, start, control=control), alone),
    }


def momentum_in_context_windows() -> dict:
    """A window's frames look back to the first of the window: windows that do not overlap are videos of their own."""
    import nodes

    windows = nodes.NODE_CLASS_MAPPINGS["ContextWindowsManual"]
    names = windows.define_schema().inputs
    values = {entry.id: entry.default for entry in names if entry.id != "model"}
    values |= {"context_length": 4, "context_overlap": 0, "context_schedule": "batched", "fuse_method": "flat"}
    values |= {name: [] for name in values if name.endswith("retain_index_list")}
    values |= {name: False for name in values if name == "causal_window_fix"}  # which adds the frame before a window
    start = noise(8)
    found = sampled(windows.execute(patched(0.9), **values)[0], start)
    expected = torch.cat([sampled(patched(0.9), part) for part in start.split(4)])
    return {"difference": largest(found, expected), "effect": largest(expected, sampled(patched(0.9), start))}


def momentum_on_every_kind() -> dict:
    """SD 2 and SDXL beside SD 1.5: μ = 0 and the MODEL afterwards are as before, and the momentum acts."""
    found, start = {}, noise()
    made = {"SD20": built(kinds.SD20, **LINEAR), "SDXL": built(kinds.SDXL, **SDXL)}
    for name, patcher in made.items():
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weight in patcher.model.diffusion_model.parameters():
                weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))
        more = {"pooled_output": torch.zeros(1, 1280)} if name == "SDXL" else {}
        before = sampled(patcher, start, 2, **more)
        found[name] = {
            "effect": largest(sampled(patched(0.9, to=patcher), start, 2, **more), before),
            "zero": largest(sampled(patched(0.0, to=patcher), start, 2, **more), before),
            "after": largest(sampled(patcher, start, 2, **more), before),
        }
    return found
