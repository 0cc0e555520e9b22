"""Training and inversion under the host's memory management."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from unittest import mock

import torch
from comfy_process import BASE, clip_pixels, embedding, inputs, largest, latents, library, model, pack, prediction


def gradients(patcher, recompute: bool = False, fast: bool = False) -> torch.Tensor:
    """Of the first training step, all of them in a row."""
    training, state_of = pack("motion_lib.training.loop"), pack("motion_lib.training.state").TrainingState.start
    settings = pack("motion_lib.training.settings").TrainingSettings(steps=1, clip=0.0)
    start = embedding(4).with_tensors({k: torch.zeros_like(t) for k, t in embedding(4).tensors.items()})
    session, denoisers = pack("nodes.host.session"), pack("nodes.host.denoiser")
    kind = pack("nodes.host.kinds").kind_of(patcher)
    with torch.inference_mode():  # as the executor does
        given = latents(4)
        words = model()[1].encode_from_tokens(model()[1].tokenize("a red star"))
        with session.loaded(patcher, (4, 4, 16, 16)) as device:
            state = state_of(start, settings, device)
            clip = kind.latents({"samples": given}, device)
            text = kind.conditioning([[words, {}]], clip, device)
            (state,) = training.train(denoisers.ModelDenoiser(patcher, recompute, fast), clip, text, state)
            return torch.cat([t.grad.flatten() for t in state.embedding.tensors.values()]).clone()


def computing_in(dtype: torch.dtype):
    """The model with weights and activations of this type, as on a GPU."""
    import comfy.model_management as management

    original = management.unet_dtype, management.unet_manual_cast
    management.unet_dtype, management.unet_manual_cast = (lambda **given: dtype), (lambda *given: None)
    try:
        return pack("nodes.host.model").load_patcher(pack("nodes.host.folders").video_models()["sprite_t2v"])
    finally:
        management.unet_dtype, management.unet_manual_cast = original


def planning() -> dict:
    """How training would run on a GPU with this much room, which needs none to be found out."""
    training, frozen = pack("nodes.host.training"), pack("motion_lib.backbones.accelerate.frozen_layers")
    frozen.kernels_run = lambda device: frozen.TRITON  # as on a GPU that they can be compiled for
    patcher = model()[0].clone()
    patcher.load_device = torch.device("cuda")
    start, shape = embedding(4), (4, 4, 16, 16)
    held = {again: _held_while_training(model()[0], recompute=again) for again in (False, True)}
    counted = {again: training.plan_for(model()[0], shape, start, "on" if again else "off", None) for again in held}

    def plan(save_memory: str, room: int):
        return training.plan_for(patcher, shape, start, save_memory, room)

    fast = plan("off", 0)
    plans = {"off": fast, "on": plan("on", 2**40), "plenty": plan("auto", 2**40), "little": plan("auto", 0)}
    plans["between"] = plan("auto", fast.needed)  # a tenth is left free
    return {
        "kernels": training.faster(patcher.model.diffusion_model.abilities, patcher.load_device),
        **{name: [found.mode, list(found.recompute), found.graphs, found.needed] for name, found in plans.items()},
        "words": fast.describe(),
        "cpu": training.plan_for(model()[0], shape, start, "auto", None).describe(),
        "counted": {str(again): counted[again].needed / held[again] for again in held},
        "still": training.weights_lie_still(model()[0].model.diffusion_model),
        "records": {kind: _records_with(kind) for kind in ("native", "cudaMallocAsync")},
    }


def _held_while_training(patcher, recompute: bool) -> int:
    """The most bytes that tensors hold in the first training step, on a CPU."""
    with pack("motion_lib.backbones.accelerate.estimate").LiveBytes() as live:
        gradients(patcher, recompute)
    return live.peak


def _records_with(allocator: str) -> bool:
    with mock.patch("torch.cuda.get_allocator_backend", lambda: allocator):
        return pack("nodes.host.training").may_record()


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
    faster = [gradients(patcher, recompute, fast=True) for recompute in (False, True)]
    layers = pack("motion_lib.backbones.accelerate.frozen_layers").plain
    linears = [m for m in patcher.model.diffusion_model.modules() if isinstance(m, torch.nn.Linear)]
    used_as_plain = sum(layers(m, torch.nn.Linear) for m in linears) / len(linears)
    args.fp16_unet = True
    try:
        half = pack("nodes.host.model").load_patcher(pack("nodes.host.folders").video_models()["sprite_t2v"])
    finally:
        args.fp16_unet = False
    cast, faster_cast = gradients(half), gradients(half, fast=True)
    low = computing_in(torch.bfloat16)
    low_plain, low_fast = gradients(low, recompute=True), gradients(low, fast=True)
    half.unpatch_model()
    half.patch_model(lowvram_model_memory=1)
    offloaded = prediction(half, x, 500, context)
    faster_offloaded = gradients(half, fast=True)
    return {
        "size": float(expected.norm()),
        "recomputed": largest(again, expected),
        "faster": max(largest(found, expected) for found in faster),
        "used_as_plain": used_as_plain,
        "faster_cast": largest(faster_cast, cast),
        "faster_offloaded": largest(faster_offloaded, cast),
        "cast_dtype": str(half.model.get_dtype()),
        "cast": alike(cast, expected),
        "low": [alike(low_plain, expected), alike(low_fast, expected)],
        "low_dtype": str(low.model.diffusion_model.dtype),
        "offloaded": largest(offloaded, before),
        "after": largest(prediction(patcher, x, 500, context), before),
        "training_mode": any(m.training for m in patcher.model.modules()),
    }


def inversion_returns() -> dict:
    """Sampling with KSampler from the inverted noise gives the clip back, with and without NOISE."""
    noises, loader = pack("nodes.noise"), model()
    with torch.inference_mode():
        reference = loader[2].encode(clip_pixels())
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
    whole.denoiser.process = pack("nodes.host.kinds").kind_of(loader[0]).process()
    video = (reference * whole.codec.vae.config.scaling_factor).clone().movedim(0, 1)[None]
    noise = pack("motion_lib.diffusion.inversion").invert(whole.denoiser, video, empty_text, steps=8, refinements=1)
    expected = pack("motion_lib.diffusion.sampling").sample(whole.denoiser, noise, empty_text, steps=8)
    return {
        "error": float((back - reference).square().mean().sqrt() / reference.std()),
        "library_error": float((expected - video).square().mean().sqrt() / video.std()),
        "again_seconds": again_seconds,
        "reused": largest(inverted["samples"], again["samples"]),
        "latent_output": largest(other, back),
        "spread": float(inverted["samples"].std()),
    }


def results_are_kept_by_content() -> dict:
    """What results are kept by, of a model, of a copy of its folder, and of a copy with other weights."""
    load, names = pack("nodes.host.model"), pack("nodes.host.fingerprint")
    folder, copies = pack("nodes.host.folders").video_models()["sprite_t2v"], Path(BASE) / "copies"
    for name in ("copy", "other"):
        shutil.copytree(folder, copies / name, copy_function=shutil.copyfile)  # with times of its own
    weights = copies / "other" / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2 :] = bytes(byte ^ 1 for byte in content[len(content) // 2 :])
    weights.write_bytes(content)

    patchers = {"original": model()[0]} | {name: load.load_patcher(copies / name) for name in ("copy", "other")}
    return {name: names.fingerprint(names.model_state(patcher)) for name, patcher in patchers.items()}


def as_earlier(settings):
    """With the settings that there were while results were named by all of them."""
    earlier = pack("nodes.host.results").EARLIER
    return earlier(**{field.name: getattr(settings, field.name) for field in fields(earlier)})


def names_of_results() -> dict:
    """Of what the pack's own classes bring into the names of results."""
    name, schedule = pack("nodes.host.fingerprint").fingerprint, pack("motion_lib.diffusion.schedule").NoiseSchedule
    embeddings, patch = pack("motion_lib.method.embedding"), pack("motion_lib.method.patch").MotionPatch
    site = embeddings.Site("down_blocks.0.temp_attentions.0", 8, 0, "down")
    motion = embeddings.MotionEmbedding.zeros(embeddings.Backbone("unet3d", (site,)), "all", 2, (3, 4))
    settings = pack("motion_lib.training.settings").TrainingSettings()
    return {
        "process": name(schedule(torch.tensor([0.75, 0.25], dtype=torch.float64))),
        "motion": name(patch(motion, strength_qk=0.5)),
        "settings": name(as_earlier(settings)),
    }


def core_training_finds_the_model() -> dict:
    """Newer core nodes (LoRA training, multi-GPU) reload a model from what its patcher remembers."""
    factory, arguments = model()[0].cached_patcher_init
    again = factory(*arguments, disable_dynamic=True)
    x, context = inputs(4)
    return {"difference": largest(prediction(again, x, 500, context), prediction(model()[0], x, 500, context))}


def training_choices() -> dict:
    """The node's inputs change what they name and nothing else."""
    choices, presets = pack("nodes.choices"), pack("motion_lib.training.presets")
    untouched = {name: choices.AS_PRESET for name in choices.LISTS}
    untouched |= {"sites": "", "learning_rate": 0.0, "motion_mask": -1.0, "timestep_bias": -1.0}
    entry, backbone = presets.preset("object"), model()[0].model.diffusion_model.backbone
    expected = replace(entry, settings=replace(entry.settings, seed=3))
    base = choices.chosen_preset("object", 0, 3, untouched, backbone)

    def flat(preset) -> dict:
        values = asdict(preset)
        return values.pop("settings") | values

    wrong = []
    trials = {name: list(known)[-1] for name, known in choices.LISTS.items()}
    trials |= {"sites": "all", "learning_rate": 0.5, "motion_mask": 0.0, "timestep_bias": 0.5}
    for name, value in trials.items():
        found, before = flat(choices.chosen_preset("object", 0, 3, {**untouched, name: value}, backbone)), flat(base)
        if {key for key in found if found[key] != before[key]} - {name} or found[name] != value:
            wrong.append(name)
    return {"by_default": base == expected, "wrong": wrong}


def hybrid_training() -> dict:
    """The loss with a spatial LoRA trains through ComfyUI's layers, keeps to a region and leaves the model alone."""
    node, x = pack("nodes.train").TrainMotionEmbedding, inputs(4)
    loader = model()
    before = prediction(loader[0], x[0], 500, x[1])
    clip = loader[1]
    region = torch.zeros(1, 64, 64)
    region[:, :, :32] = 1
    with torch.inference_mode():
        words = clip.encode_from_tokens_scheduled(clip.tokenize("a red circle on a grey plain background"))
        latent = {"samples": loader[2].encode(clip_pixels())}
        chosen = pack("nodes.options").TrainingOptions.execute(loss="hybrid", reuse=False)[0]
        trained = node.execute(loader[0], words, latent, "object", 3, 0, region=region, options=chosen)
    learned, losses = trained[0], trained[1]["loss"]
    return {
        "steps": len(losses),
        "size": max(float(tensor.abs().max()) for tensor in learned.tensors.values()),
        "strange": [key for key in learned.tensors if not key.endswith((".qk", ".v"))],
        "after": largest(prediction(loader[0], x[0], 500, x[1]), before),
    }


def results_are_kept() -> dict:
    """What was learned is reused as long as nothing changes that decides it, under today's name and under the one that
    it had in earlier versions; a file that holds something else is not."""
    node, (patcher, clip, vae) = pack("nodes.train").TrainMotionEmbedding, model()
    folders, files = pack("nodes.host.folders"), pack("motion_lib.files.embedding_file")
    with torch.inference_mode():
        words = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("a red circle", "a blue star")]
        latent = {"samples": vae.encode(clip_pixels())}
    there = folders.result_path(folders.TRAINED, "x").parent
    half = torch.zeros(1, 64, 64)
    half[:, :, :32] = 1

    def run(words=words[0], seed: int = 0, region=None, **choices) -> tuple[str, list[str]]:
        """What the node says, and the files that it has added."""
        before = {path.name for path in there.glob("*")}
        with torch.inference_mode():
            chosen = pack("nodes.options").TrainingOptions.execute(**choices)[0]
            done = node.execute(patcher, words, latent, "object", 1, seed, region=region, options=chosen)
        return done.ui["text"][0], sorted({path.name for path in there.glob("*")} - before)

    first, names = run()
    kept = there / names[0]
    again = run()
    others = [run(words[1]), run(seed=1), run(region=half), run(sites="all"), run(components="qk"), run(v_axes="1d")]
    foreign = there / others[3][1][0]
    content = kept.read_bytes()
    kept.write_bytes(foreign.read_bytes())
    replaced = run()

    # As an earlier version had named it, by everything at once, and without the hashes in the file.
    fingerprint, kind = pack("nodes.host.fingerprint"), pack("nodes.host.kinds").kind_of(patcher)
    chosen = pack("nodes.choices").chosen_preset("object", 1, 0, {}, kind.backbone)
    given = kind.latents(latent, torch.device("cpu"))
    text = kind.conditioning(words[0], given, torch.device("cpu"))
    learned = [getattr(chosen, name) for name in ("sites", "components", "integration", "qk_axes", "v_axes")]
    state = fingerprint.earlier_model_state(patcher)
    key = fingerprint.fingerprint(state, given, text, as_earlier(chosen.settings), *learned, None)
    kept.write_bytes(content)
    embedding = files.load_embedding(kept)
    old = there / f"object_{key[:16]}.safetensors"
    files.save_embedding(old, replace(embedding, origin=replace(embedding.origin, input_hashes={})))
    kept.unlink()
    return {
        "first": first.startswith("Trained 1 steps") and len(names) == 1,
        "again": again[0].startswith(f"Reused {folders.TRAINED}/{kept.name}") and again[1] == [],
        "others": [text.startswith("Trained 1 steps") and len(added) == 1 for text, added in others],
        "replaced": replaced[0].startswith("Trained 1 steps"),
        "earlier": run()[0].startswith(f"Reused {folders.TRAINED}/{old.name}"),
    }
