"""Learning from a clip through a MODEL of Wan, inverting it, and what the results are named by."""

from __future__ import annotations

import dataclasses

import comfy.model_patcher
import comfy.model_sampling
import comfy.sample
import comfy.samplers
import comfy.supported_models
import torch
from comfy_process import largest, pack
from wan_model import CONFIG, FRAMES, SIZE, TEXT, draw, embedding, models, patch, told, whole


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
def wan_learns_in_moved_weights() -> dict:
    """Weights made in inference mode and moved to a GPU since then, as the host does it: gradients, and inversion,
    against those before. Outside of that mode no layer takes such weights as they are."""
    patcher, _ = models()
    clip, text = draw(1, 16, FRAMES, *SIZE, seed=3), draw(1, 5, TEXT, seed=4)
    inversion, found = pack("motion_lib.diffusion.inversion"), []
    for moved in (False, True):
        config = comfy.supported_models.WAN21_T2V(dict(CONFIG))
        config.set_inference_dtype(torch.float32, None)
        with torch.inference_mode():
            model = config.get_model({}, "", device="cpu")
            model.diffusion_model.load_state_dict(patcher.model.diffusion_model.state_dict())
        for weight in model.diffusion_model.parameters() if moved else ():
            weight.data = weight.data.clone()
        other = comfy.model_patcher.ModelPatcher(model, clip.device, clip.device)
        kind = pack("nodes.host.kinds").kind_of(other)
        conditioning = kind.conditioning(told(text), clip, clip.device)
        with kind.ready_to_invert(clip) as (denoiser, _):
            found.append(inversion.invert(denoiser, clip, conditioning, steps=2, refinements=0))
        if moved:
            for weight in model.diffusion_model.parameters():
                weight.data = weight.data.clone()
        found.append(gradients(other, clip, text))
    return {
        "noise": largest(found[0], found[2]),
        "gradient": largest(found[1], found[3]),
        "size": float(found[1].abs().max()),
    }


@whole
def wan_learns_from_several_clips() -> dict:
    """One motion of three clips with a text each, as Draw Stand-ins gives them, against the library; and what is said
    where their numbers differ."""
    patcher, denoiser = models()
    training, kinds = pack("motion_lib.training.loop"), pack("nodes.host.kinds")
    states, presets = pack("motion_lib.training.state"), pack("motion_lib.training.presets")
    entry = presets.preset("object", denoiser.backbone)
    settings = dataclasses.replace(entry.settings, steps=4, motion_mask=0.0)
    clips, texts = draw(3, 16, FRAMES, *SIZE, seed=3), draw(3, 5, TEXT, seed=4)
    start, kind = entry.empty(denoiser.backbone, FRAMES, SIZE), kinds.kind_of(patcher)
    given = {"samples": patcher.model.process_latent_out(clips)}
    parts = [part for text in texts.split(1) for part in told(text)]
    latents = kind.latents(given, torch.device("cpu"), several=True)
    conditioning = kind.conditioning(parts, latents, torch.device("cpu"))
    begun = states.TrainingState.start(start, settings, "cpu")
    *_, state = training.train(denoiser, clips, texts, begun)
    with kind.ready_to_train(latents, conditioning, start, "off", None) as (ours, *_):
        *_, own = training.train(ours, latents, conditioning, states.TrainingState.start(start, settings, "cpu"))
    said = []
    for wrong in (
        lambda: kind.conditioning(parts[:2], latents, torch.device("cpu")),
        lambda: kind.conditioning([*parts[:2], *told(draw(1, 7, TEXT, seed=4))], latents, torch.device("cpu")),
        lambda: kind.latents(given, torch.device("cpu")),
    ):
        try:
            wrong()
        except pack("motion_lib.errors").MotionError as error:
            said.append(str(error))
    return {
        "losses": max(abs(a - b) for a, b in zip(state.losses, own.losses, strict=True)),
        "difference": max(largest(own.learned.tensors[k], t) for k, t in state.learned.tensors.items()),
        "size": max(float(t.abs().max()) for t in state.learned.tensors.values()),
        "said": said,
    }


@whole
def wan_learns_in_other_weights() -> dict:
    """Weights of 8 bits as loaders keep them, which are read in single precision, and packed ones, which a layer of
    another class unpacks at every call, as of GGUF files: gradients against the same values in single precision."""
    import comfy.ops

    patcher, _ = models()
    clip, text = draw(1, 16, FRAMES, *SIZE, seed=3), draw(1, 5, TEXT, seed=4)
    rounded = {k: v.to(torch.float8_e4m3fn) for k, v in patcher.model.diffusion_model.state_dict().items()}
    found = []
    for dtype, packed in ((torch.float8_e4m3fn, False), (torch.float32, True), (torch.float32, False)):
        config = comfy.supported_models.WAN21_T2V(dict(CONFIG))
        config.set_inference_dtype(dtype, torch.float32 if dtype != torch.float32 else None)
        with torch.inference_mode():
            model = config.get_model({}, "", device="cpu")
            model.diffusion_model.load_state_dict({k: v.to(dtype) for k, v in rounded.items()})
            if packed:
                pack_linear_layers(model.diffusion_model, rounded)
        found.append(gradients(comfy.model_patcher.ModelPatcher(model, clip.device, clip.device), clip, text))
    return {
        "difference": largest(found[0], found[2]),
        "packed": largest(found[1], found[2]),
        "size": float(found[2].abs().max()),
    }


class Packed(torch.nn.Module):
    """A linear layer whose weight is bytes in a shape of their own, unpacked at every call."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None):
        super().__init__()
        self.shape, self.bias = weight.shape, bias
        self.weight = torch.nn.Parameter(weight.contiguous().view(torch.uint8).reshape(-1, 8), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight.reshape(self.shape).view(torch.float8_e4m3fn).to(x.dtype)
        return torch.nn.functional.linear(x, weight, self.bias)


def pack_linear_layers(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    linear = [name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)]
    assert len(linear) > 40
    for name in linear:
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, Packed(weights[f"{name}.weight"], model.get_submodule(name).bias))


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
