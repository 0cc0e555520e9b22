"""The nodes compute what the library computes."""

from __future__ import annotations

import torch
from comfy_process import clip_pixels, embedding, inputs, largest, library, model, pack, prediction, sampled


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
    patch = pack("motion_lib.method.patch").MotionPatch(embedding(), 0.7, 1.3, debias="difference")
    ready = patch.prepare(8, (16, 16), "cpu", torch.float32)
    with torch.no_grad():
        expected = library().denoiser(x, torch.tensor([500]), context, [ready])
        plain = library().denoiser(x, torch.tensor([500]), context)
    applied = pack("nodes.apply").patched(model()[0], patch)
    return {
        "difference": largest(prediction(applied, x, 500, context), expected),
        "effect": largest(expected, plain),
    }


def sampling_equals_library() -> dict:
    """The whole way of KSampler with guidance and a patch, against motion_lib's own sampling."""
    reference, patch = library(), pack("motion_lib.method.patch").MotionPatch(embedding(), 0.5, 0.5, start=0.0, end=0.7)
    # ComfyUI's samplers end at sigma = 0, and it stands in a very large sigma for a last one that is infinite.
    schedule = pack("nodes.host.kinds").kind_of(model()[0]).process()
    reference.denoiser.process = schedule
    noise = torch.randn(1, 4, 8, 16, 16, generator=torch.Generator().manual_seed(7))
    wanted, empty = reference.encode_prompt(["a red star on a grey plain background", ""]).split(1)
    expected = pack("motion_lib.diffusion.sampling").sample(
        reference.denoiser, noise, wanted, unconditional=empty, guidance=4.0, steps=4, patches=[patch]
    )
    found = sampled(pack("nodes.apply").patched(model()[0], patch), noise[0].movedim(0, 1))
    return {"difference": largest(found.movedim(0, 1)[None], expected), "scale": float(expected.abs().max())}


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
    scale = reference.codec.vae.config.scaling_factor
    expected = reference.encode_video(frames)[0].movedim(0, 1) / scale
    encoded = vae.encode(frames.float() / 255)
    decoded = vae.decode(encoded)
    shown = reference.decode_video((encoded * scale).movedim(0, 1)[None])
    return {"encode": largest(encoded, expected), "decode": largest(decoded * 255, shown.float())}


def previews_have_the_right_colours() -> dict:
    """The linear map that samplers preview with, against the clip itself, in pixels of 8 x 8."""
    import latent_preview
    import numpy as np

    fmt, clip = model()[0].model.latent_format, clip_pixels()
    latents = fmt.process_in(model()[2].encode(clip))[:1]
    previewer = latent_preview.Latent2RGBPreviewer(fmt.latent_rgb_factors, fmt.latent_rgb_factors_bias)
    shown = torch.from_numpy(np.array(previewer.decode_latent_to_preview(latents))).float() / 255
    small = torch.nn.functional.avg_pool2d(clip[:1].movedim(-1, 1), 8)[0].movedim(0, -1)
    return {"error": float((shown - small).abs().mean())}
