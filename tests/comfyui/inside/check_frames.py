"""Video from image models: the noise of frames, the bundled image model, and what is refused."""

from __future__ import annotations

import comfy.sample
import comfy.supported_models as kinds
import torch
from comfy_process import largest, model, pack
from image_models import FRAMES, SIZE, built, denoised, image_model, node, patched, words


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
