"""Video from image models: momentum attention and frame noise on small MODELs of ComfyUI's own UNet, random weights and
the layout of Stable Diffusion 1.5, 2 and SDXL."""

from __future__ import annotations

from functools import lru_cache

import comfy.hooks
import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.supported_models as kinds
import comfy.utils
import torch
from comfy_process import largest, model, pack

FRAMES, SIZE, WIDTH = 6, (8, 12), 8
CONFIG = {  # motion_lib/frames_from_images/tiny.py in ComfyUI's words
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [1, 1, 1],
    "channel_mult": (1, 1, 2),
    "transformer_depth": [1, 1, 0],
    "transformer_depth_output": [1, 1, 1, 1, 0, 0],
    "transformer_depth_middle": 1,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "context_dim": WIDTH,
    "adm_in_channels": None,
    "num_heads": 8,
    "num_head_channels": -1,
    "use_checkpoint": False,
    "legacy": False,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
}
LINEAR = {"use_linear_in_transformer": True}
SDXL = {**LINEAR, "adm_in_channels": 2816, "num_classes": "sequential"}


def node(name: str):
    return getattr(pack("nodes.frames"), name)


def built(kind: type, **changes):
    """A MODEL of one of ComfyUI's kinds, at this size."""
    small = type(kind.__name__, (kind,), {"unet_extra_config": {}})
    config = small({**CONFIG, **changes})
    config.set_inference_dtype(torch.float32, None)
    made = config.get_model({}, "", device="cpu")
    return comfy.model_patcher.ModelPatcher(made, torch.device("cpu"), torch.device("cpu"))


@lru_cache(maxsize=1)
def image_model():
    """The library's tiny UNet and the same weights as a MODEL, which keep names of their own in ComfyUI."""
    unet = pack("motion_lib.frames_from_images.tiny").tiny_unet()
    patcher = built(kinds.SD15)
    names = comfy.utils.unet_to_diffusers(CONFIG)
    stored = unet.state_dict()
    weights = {name: stored[theirs] for theirs, name in names.items() if theirs in stored}
    patcher.model.diffusion_model.load_state_dict(weights)
    assert len(weights) == len(stored)
    return unet, patcher


def patched(momentum: float, *more, to=None):
    with torch.inference_mode():
        return node("TemporalMomentumAttention").execute(to or image_model()[1], momentum, *more)[0]


def words(seed: int) -> torch.Tensor:
    return torch.randn(1, 3, WIDTH, generator=torch.Generator().manual_seed(seed))


def noise(frames: int = FRAMES) -> torch.Tensor:
    return torch.randn(frames, 4, *SIZE, generator=torch.Generator().manual_seed(7))


def denoised(patcher, x, sigma, text, halves: tuple[int, ...] = (0,)) -> torch.Tensor:
    """x_0 as the MODEL sees it in a batch of these halves of guidance."""
    options = comfy.model_patcher.create_model_options_clone(patcher.model_options)["transformer_options"]
    count = len(x) // len(halves)
    level = torch.full((len(x),), float(sigma))
    options |= {"cond_or_uncond": list(halves), "sigmas": level[:1]}
    context = torch.cat([each.expand(count, -1, -1) for each in text])
    comfy.model_management.load_models_gpu([patcher])
    with torch.inference_mode():
        return patcher.model.apply_model(x, level, c_crossattn=context, transformer_options=options).clone()


def sampled(patcher, start, steps: int = 3, cfg: float = 3.0, hooks=None, control=None, **extra) -> torch.Tensor:
    more = extra | ({} if hooks is None else {"hooks": hooks})
    if control is not None:
        more |= {"control": control, "control_apply_to_uncond": False}
    positive, negative = [[words(1), dict(more)]], [[words(2), dict(more)]]
    arguments = (steps, cfg, "euler", "normal", positive, negative, torch.zeros_like(start))
    with torch.inference_mode():
        return comfy.sample.sample(patcher, start, *arguments, disable_pbar=True, seed=0).clone()


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


def frame_noise() -> dict:
    library, inner = pack("motion_lib.diffusion.frame_noise"), pack("nodes.frames").TiedNoise
    patcher, empty = image_model()[1], {"samples": torch.zeros(FRAMES, 4, *SIZE)}
    stock = comfy.sample.prepare_noise(empty["samples"], 5)
    differences = {}
    with torch.inference_mode():
        for prior in library.PRIORS:
            made, latent, report = node("FrameNoise").execute(patcher, empty, prior, 0.9, 5).args
            expected = library.tied(stock.movedim(0, 1)[None], prior, 0.9)[0].movedim(1, 0)
            differences[prior] = largest(made.generate_noise(empty), expected)
        steps = (3, 3.0, "euler", "simple", [[words(1), {}]], [[words(2), {}]])
        start = made.generate_noise(empty)
        by_noise = comfy.sample.sample(patcher, start, *steps, empty["samples"], disable_pbar=True)
        silent = torch.zeros_like(start)
        by_latent = comfy.sample.sample(
            patcher, silent, *steps, latent["samples"], disable_noise=True, disable_pbar=True
        )
        some = {"samples": empty["samples"][:2], "batch_index": [0, 3]}
        several = inner("mixed", 0.5, 5).generate_noise({"samples": torch.zeros(2, 4, FRAMES, *SIZE)})
    return {
        "differences": differences,
        "stock": largest(inner("independent", 0.9, 5).generate_noise(empty), stock),
        "latent": largest(by_noise, by_latent) / float(by_noise.abs().max()),
        "report": report,
        "seed": inner("mixed", 0.5, 5).seed,
        "index": largest(inner("mixed", 0.0, 5).generate_noise(some), stock[[0, 3]]),
        "several": list(several.shape),
        "half": str(inner("mixed", 0.5, 5).generate_noise({"samples": empty["samples"].half()}).dtype),
    }


def frame_errors() -> dict:
    sentences, error = {}, pack("motion_lib.errors").MotionError

    def attempt(name: str, call) -> None:
        try:
            call()
            sentences[name] = "no error"
        except error as found:
            sentences[name] = str(found)

    patcher = image_model()[1]
    empty = {"samples": torch.zeros(FRAMES, 4, *SIZE)}
    attempt("our video model", lambda: patched(0.9, to=model()[0]))
    video = built(
        kinds.SVD_img2vid,
        adm_in_channels=768,
        num_classes="sequential",
        use_temporal_attention=True,
        use_temporal_resblock=True,
        video_kernel_size=[3, 1, 1],
        extra_ff_mix_layer=True,
        use_spatial_context=True,
        merge_strategy="learned_with_images",
        merge_factor=0.0,
    )
    attempt("stable video diffusion", lambda: patched(0.9, to=video))
    attempt("momentum", lambda: patched(1.5))
    attempt("no number", lambda: patched(float("nan")))
    attempt("start after end", lambda: patched(0.9, 0.8, 0.2))
    attempt("scales", lambda: patched(0.9, 0.0, 1.0, "fine"))
    attempt("scale 3", lambda: patched(0.9, 0.0, 1.0, "1,3"))
    frames = node("FrameNoise").execute
    attempt("one frame", lambda: frames(patcher, {"samples": empty["samples"][:1]}, "mixed", 0.5, 0))
    attempt("similarity", lambda: frames(patcher, empty, "mixed", 1.5, 0))
    attempt("prior", lambda: frames(patcher, empty, "pink", 0.5, 0))
    return sentences


def bundled_image_model() -> dict:
    """sprite_image as MODEL, CLIP and VAE is the library's, with and without momentum; stock nodes know its layers."""
    import comfy.lora

    loading, momentum = pack("motion_lib.frames_from_images.loading"), pack("motion_lib.frames_from_images.momentum")
    library = loading.load_image_model("sprite_image")
    patcher, clip, vae = pack("nodes.load").LoadMotionVideoModel.execute("sprite_image").args
    text = "a red circle on a grey plain background"
    with torch.inference_mode():
        given = clip.encode_from_tokens(clip.tokenize(text)).float()
    found = {"text": largest(given, library.encode_prompt([text]))}
    sampling = patcher.get_model_object("model_sampling")
    x = torch.randn(FRAMES, 4, 16, 16, generator=torch.Generator().manual_seed(3))
    for name, how in {"plain": None, "momentum": 0.9, "first": 1.0}.items():
        to = patcher if how is None else patched(how, to=patcher)
        acting = None if how is None else momentum.Momentum(how)
        for timestep in (10, 500, 990):
            sigma = sampling.sigmas[timestep]
            videos, scale = x.movedim(1, 0)[None], (sigma**2 + 1).rsqrt()
            seen = (1 + sigma**2).sqrt() * videos  # as noisy as that
            with torch.no_grad():
                each = type(library.denoiser)(library.denoiser.unet, library.denoiser.process, acting)
                velocity = each(videos, torch.tensor([timestep]), library.encode_prompt([text]))
            expected = scale * videos - sigma * scale * velocity
            got = denoised(to, seen[0].movedim(0, 1), sigma, [given])
            found[f"{name} {timestep}"] = largest(got, expected[0].movedim(0, 1))
    with torch.inference_mode():
        pixels = vae.decode(x / library.codec.scale)
    own = library.decode_video(x.movedim(1, 0)[None]).float() / 255
    found["pixels"] = largest(pixels, own)
    keys = comfy.lora.model_lora_keys_unet(patcher.model, {})
    weights = patcher.model.state_dict()
    found["lora"] = sum(key.startswith("lora_unet_") and value in weights for key, value in keys.items())
    found["parts"] = sum(name.endswith("to_q.weight") for name in weights)
    found["effect"] = largest(
        denoised(patched(0.9, to=patcher), 2 * x, 2.0, [given]), denoised(patcher, 2 * x, 2.0, [given])
    )
    return found
