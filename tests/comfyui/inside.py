"""Checks that need tensors rather than files: run by ComfyUI's own Python inside ComfyUI, one check per function.

    python inside.py COMFYUI_FOLDER BASE_FOLDER CHECK...

Prints one line of JSON with the numbers that each check measured; what they must be is said in test_inside.py.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import time
import types
from pathlib import Path

host, base, *CHECKS = sys.argv[1:]
sys.argv = ["main.py", "--cpu", "--base-directory", base]
sys.path.insert(0, host)
os.chdir(host)

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import torch  # noqa: E402
import utils.extra_config  # noqa: E402,F401  before `nodes`, which hides the package of that name

PACK = Path(__file__).resolve().parents[2]


def start() -> tuple[str, dict]:
    """Load ComfyUI's core nodes, then the pack; its module name, the seconds it took and what it imported."""
    import server  # isort: skip
    import nodes  # isort: skip

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server.PromptServer(loop)
    loop.run_until_complete(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
    before = set(sys.modules)
    began = time.perf_counter()
    loaded = loop.run_until_complete(nodes.load_custom_node(str(PACK), module_parent="custom_nodes"))
    took = time.perf_counter() - began
    if not loaded:
        raise SystemExit("ComfyUI could not load the pack")
    name = next(n for n, m in sys.modules.items() if getattr(m, "__file__", "") == str(PACK / "__init__.py"))
    return name, {"seconds": took, "modules": sorted({m.split(".")[0] for m in set(sys.modules) - before})}


NAME, IMPORTED = start()


def pack(module: str):
    return importlib.import_module(f"{NAME}.{module}")


def latents(frames: int = 8) -> torch.Tensor:
    """A clip's latents as ComfyUI keeps them."""
    torch.manual_seed(3)
    return torch.randn(frames, 4, 16, 16) / 0.18215


_loaded: list = []


def model():
    if not _loaded:
        folder = pack("nodes.host.folders").video_models()["sprite_t2v"]
        with torch.inference_mode():  # as the executor does
            _loaded.append(pack("nodes.host.model").load_model(folder))
    return _loaded[0]


def library():
    return pack("motion_lib.backbones").load_model("sprite_t2v")


def prediction(patcher, x, t, context, patches=()):
    denoiser = pack("nodes.host.denoiser").ModelDenoiser(patcher)
    with torch.no_grad():
        return denoiser(x, torch.tensor([t]), context, patches)


def embedding(frames: int = 8, scale: float = 0.5):
    """Random values at every layer."""
    backbone = model()[0].model.diffusion_model.backbone
    zeros = pack("motion_lib.embedding").MotionEmbedding.zeros(backbone, "all", frames, (16, 16))
    generator = torch.Generator().manual_seed(5)
    tensors = {k: scale * torch.randn(t.shape, generator=generator) for k, t in zeros.tensors.items()}
    return zeros.with_tensors(tensors)


def largest(a, b) -> float:
    return float((a - b).abs().max())


def inputs(frames: int = 8):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 4, frames, 16, 16, generator=generator)
    return x, library().encode_prompt(["a red star on a grey plain background"])


def import_time() -> dict:
    return dict(IMPORTED)


def prediction_equals_library() -> dict:
    x, context = inputs()
    reference = library().denoiser
    found = {}
    for t in (0, 250, 500, 999):
        with torch.no_grad():
            expected = reference(x, torch.tensor([t]), context)
        found[str(t)] = largest(prediction(model()[0], x, t, context), expected)
    return found


def patched_equals_library() -> dict:
    x, context = inputs()
    patch = pack("motion_lib.patch").MotionPatch(embedding(), 0.7, 1.3, debias="difference")
    ready = patch.prepare(8, (16, 16), "cpu", torch.float32)
    with torch.no_grad():
        expected = library().denoiser(x, torch.tensor([500]), context, [ready])
        plain = library().denoiser(x, torch.tensor([500]), context)
    applied = pack("nodes.apply").patched(model()[0], patch)
    return {
        "difference": largest(prediction(applied, x, 500, context), expected),
        "effect": largest(expected, plain),
    }


def text_equals_library() -> dict:
    clip = model()[1]
    prompts = ["", "a red star on a grey plain background", "blue circle, navy dotted background"]
    expected = library().encode_prompt(prompts)
    found = torch.cat([clip.encode_from_tokens(clip.tokenize(prompt)) for prompt in prompts])
    return {"difference": largest(found, expected)}


def images_equal_library() -> dict:
    vae, reference = model()[2], library()
    generator = torch.Generator().manual_seed(2)
    frames = torch.randint(0, 256, (2, 128, 128, 3), generator=generator, dtype=torch.uint8)
    scale = reference.vae.config.scaling_factor
    expected = reference.encode_video(frames)[0].movedim(0, 1) / scale
    encoded = vae.encode(frames.float() / 255)
    decoded = vae.decode(encoded)
    shown = reference.decode_video((encoded * scale).movedim(0, 1)[None])
    return {"encode": largest(encoded, expected), "decode": largest(decoded * 255, shown.float())}


def sampled(patcher, noise, steps: int = 4, cfg: float = 4.0, hooks=None) -> torch.Tensor:
    """KSampler's result in the model's own scale, `[f, c, h, w]`."""
    import comfy.sample

    clip = model()[1]
    positive, negative = (
        clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("a red star on a grey plain background", "")
    )
    if hooks is not None:
        positive, negative = ([[c, {**d, "hooks": hooks}] for c, d in cond] for cond in (positive, negative))
    empty = torch.zeros_like(noise)
    with torch.inference_mode():
        result = comfy.sample.sample(
            patcher, noise, steps, cfg, "ddim", "simple", positive, negative, empty, disable_pbar=True, seed=0
        )
    return patcher.model.process_latent_in(result.clone())


def sampling_equals_library() -> dict:
    """The whole way of KSampler with guidance and a patch, against motion_lib's own sampling."""
    reference, patch = library(), pack("motion_lib.patch").MotionPatch(embedding(), 0.5, 0.5, start=0.0, end=0.7)
    # ComfyUI's samplers end at sigma = 0, and it stands in a very large sigma for a last one that is infinite.
    schedule = pack("nodes.host.denoiser").schedule_of(model()[0])
    reference.denoiser.schedule = schedule
    noise = torch.randn(1, 4, 8, 16, 16, generator=torch.Generator().manual_seed(7))
    wanted, empty = reference.encode_prompt(["a red star on a grey plain background", ""]).split(1)
    expected = pack("motion_lib.sampling").sample(
        reference.denoiser, noise, wanted, unconditional=empty, guidance=4.0, steps=4, patches=[patch]
    )
    found = sampled(pack("nodes.apply").patched(model()[0], patch), noise[0].movedim(0, 1))
    return {"difference": largest(found.movedim(0, 1)[None], expected), "scale": float(expected.abs().max())}


def previews_have_the_right_colours() -> dict:
    """The linear map that samplers preview with, against the clip itself, in pixels of 8 x 8."""
    import latent_preview
    import numpy as np

    fmt, clip = model()[0].model.latent_format, _clip_pixels()
    latents = fmt.process_in(model()[2].encode(clip))[:1]
    previewer = latent_preview.Latent2RGBPreviewer(fmt.latent_rgb_factors, fmt.latent_rgb_factors_bias)
    shown = torch.from_numpy(np.array(previewer.decode_latent_to_preview(latents))).float() / 255
    small = torch.nn.functional.avg_pool2d(clip[:1].movedim(-1, 1), 8)[0].movedim(0, -1)
    return {"error": float((shown - small).abs().mean())}


def unpatched_stays_identical() -> dict:
    noise = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(7))
    before = sampled(model()[0], noise, 2)
    patch = pack("motion_lib.patch").MotionPatch(embedding(), 1.0, 1.0)
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
    zero = pack("motion_lib.patch").MotionPatch(embedding(), 0.0, 0.0)
    nothing = pack("nodes.apply").patched(model()[0], zero)
    return {
        "after": largest(sampled(model()[0], noise, 2), before),
        "at_strength_0": largest(sampled(nothing, noise, 2), before),
        "effect": effect,
        "effect_again": largest(sampled(applied, noise, 2), before),
    }


def patches_compose() -> dict:
    x, context = inputs()
    kind = pack("motion_lib.patch").MotionPatch
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
    patch = pack("motion_lib.patch").MotionPatch(embedding(), 1.0, 1.0)
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
    patch = pack("motion_lib.patch").MotionPatch(embedding(), 1.0, 1.0)
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
    host, kind = pack("nodes.host.patch"), pack("motion_lib.patch").MotionPatch
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

    patch = pack("motion_lib.patch").MotionPatch(embedding(4), 1.0, 1.0)
    noise = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(7))
    plain = model()[0].clone()
    set_torch_compile_wrapper(plain, backend="eager")
    applied = pack("nodes.apply").patched(plain, patch)
    eager = pack("nodes.apply").patched(model()[0], patch)
    return {
        "patched": largest(sampled(applied, noise, 2), sampled(eager, noise, 2)),
        "unpatched": largest(sampled(plain, noise, 2), sampled(model()[0], noise, 2)),
    }


def gradients(patcher, recompute: bool = False) -> torch.Tensor:
    """Of the first training step, all of them in a row."""
    training = pack("motion_lib.training")
    start = embedding(4).with_tensors({k: torch.zeros_like(t) for k, t in embedding(4).tensors.items()})
    session, denoisers = pack("nodes.host.session"), pack("nodes.host.denoiser")
    with torch.inference_mode():  # as the executor does
        given = latents(4)
        words = model()[1].encode_from_tokens(model()[1].tokenize("a red star"))
        with session.loaded(patcher, (4, 4, 16, 16)) as device:
            state = training.TrainingState.start(start, training.TrainingSettings(steps=1, clip=0.0), device)
            clip = denoisers.video_latents(patcher, {"samples": given}, device)
            text = denoisers.text_embedding(patcher, [[words, {}]], device)
            (state,) = training.train(denoisers.ModelDenoiser(patcher, recompute), clip, text, state)
            return torch.cat([t.grad.flatten() for t in state.embedding.tensors.values()]).clone()


def alike(a, b) -> float:
    return float(torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0))


def training_gradients() -> dict:
    """The same through recomputation, half-precision weights that are cast, and weights that stay offloaded."""
    from comfy.cli_args import args

    patcher = model()[0]
    x, context = inputs(4)
    before = prediction(patcher, x, 500, context)
    expected = gradients(patcher)
    again = gradients(patcher, recompute=True)
    args.fp16_unet = True
    try:
        half = pack("nodes.host.model").load_patcher(pack("nodes.host.folders").video_models()["sprite_t2v"])
    finally:
        args.fp16_unet = False
    cast = gradients(half)
    half.unpatch_model()
    half.patch_model(lowvram_model_memory=1)
    offloaded = prediction(half, x, 500, context)
    return {
        "size": float(expected.norm()),
        "recomputed": largest(again, expected),
        "cast_dtype": str(half.model.get_dtype()),
        "cast": alike(cast, expected),
        "offloaded": largest(offloaded, before),
        "after": largest(prediction(patcher, x, 500, context), before),
        "training_mode": any(m.training for m in patcher.model.modules()),
    }


def inversion_returns() -> dict:
    """Sampling with KSampler from the inverted noise gives the clip back, with and without NOISE."""
    noises, loader = pack("nodes.noise"), model()
    with torch.inference_mode():
        reference = loader[2].encode(_clip_pixels())
        node = noises.InvertVideoToNoise
        inverted = node.execute(loader[0], {"samples": reference}, 8, None, 1)[0]
        began = time.perf_counter()
        again = node.execute(loader[0], {"samples": reference}, 8, None, 1)[0]
        again_seconds = time.perf_counter() - began
        mixed = noises.MixInversionNoise.execute(loader[0], inverted, 1.0, 0)
        start = mixed[0].generate_noise({"samples": reference})
    import comfy.sample

    clip = loader[1]
    empty = clip.encode_from_tokens_scheduled(clip.tokenize(""))
    with torch.inference_mode():
        arguments = (8, 1.0, "ddim", "simple", empty, empty)
        zeros = torch.zeros_like(reference)
        back = comfy.sample.sample(loader[0], start, *arguments, zeros, disable_pbar=True, seed=0)
        noisy = mixed[1]["samples"]
        other = comfy.sample.sample(
            loader[0], zeros, *arguments, noisy, disable_noise=True, force_full_denoise=True, disable_pbar=True, seed=0
        )
    whole, empty_text = library(), library().encode_prompt([""])
    whole.denoiser.schedule = pack("nodes.host.denoiser").schedule_of(loader[0])
    video = (reference * whole.vae.config.scaling_factor).clone().movedim(0, 1)[None]
    noise = pack("motion_lib.inversion").invert(whole.denoiser, video, empty_text, steps=8, refinements=1)
    expected = pack("motion_lib.sampling").sample(whole.denoiser, noise, empty_text, steps=8)
    return {
        "error": float((back - reference).square().mean().sqrt() / reference.std()),
        "library_error": float((expected - video).square().mean().sqrt() / video.std()),
        "again_seconds": again_seconds,
        "reused": largest(inverted["samples"], again["samples"]),
        "latent_output": largest(other, back),
        "spread": float(inverted["samples"].std()),
    }


def _clip_pixels() -> torch.Tensor:
    sprites, motions = pack("motion_lib.sprites"), pack("motion_lib.sprites.motions")
    scene = motions.reference("figure_eight", sprites.Words("circle", "red", "grey", "plain"), frames=4)
    return sprites.render(scene)[0].movedim(1, -1)


def _of_other_widths():
    """An embedding for a model like the bundled one, twice as wide."""
    lib, ours = pack("motion_lib.embedding"), model()[0].model.diffusion_model.backbone
    layers = tuple(lib.TemporalLayer(layer.name, 2 * layer.channels, layer.depth, layer.block) for layer in ours.layers)
    return lib.MotionEmbedding.zeros(lib.Backbone(ours.family, layers), "deep", 4, (16, 16))


def core_training_finds_the_model() -> dict:
    """Newer core nodes (LoRA training, multi-GPU) reload a model from what its patcher remembers."""
    factory, arguments = model()[0].cached_patcher_init
    again = factory(*arguments, disable_dynamic=True)
    x, context = inputs(4)
    return {"difference": largest(prediction(again, x, 500, context), prediction(model()[0], x, 500, context))}


def errors() -> dict:
    """The sentences of bad input."""
    found = {}
    load, embed = pack("nodes.host.model"), pack("nodes.embedding")
    folders, host, kind = pack("nodes.host.folders"), pack("nodes.host.denoiser"), pack("motion_lib.patch").MotionPatch
    attempts = {
        "no folder": lambda: load.load_model(Path(base) / "nowhere"),
        "wrong shape": lambda: host.video_latents(
            model()[0], {"samples": torch.zeros(2, 16, 4, 4)}, torch.device("cpu")
        ),
        "no conditioning": lambda: host.text_embedding(model()[0], [], torch.device("cpu")),
        "clean noise": lambda: pack("nodes.noise").MixedNoise(latents(), 0.5, 0, "blend"),
        "gone": lambda: embed.LoadMotionEmbedding.execute("gone.safetensors"),
        "outside": lambda: folders.new_embedding_path("../../outside"),
        "other model": lambda: host.backbone_of(types.SimpleNamespace(model=object())),
        "other widths": lambda: pack("nodes.apply").patched(model()[0], kind(_of_other_widths())),
        "short clip": lambda: pack("nodes.clip").PrepareReferenceClip.execute(
            torch.zeros(4, 32, 32, 3), 16, 32, 32, 0.0, 0, 1, "crop"
        ),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
            found[name] = "no error"
        except pack("motion_lib.errors").MotionError as error:
            found[name] = str(error)
    return found


def main() -> None:
    found = {}
    for check in CHECKS:
        began = time.perf_counter()
        found[check] = globals()[check]() | {"took": round(time.perf_counter() - began, 2)}
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
