"""The camera of a clip, followed, given to a MODEL and to its start noise."""

from __future__ import annotations

import sys

import torch
from comfy_process import clip_pixels, largest, library, model, pack, sampled

FRAMES = 8


def nodes():
    return pack("nodes.camera")


def pan():
    """The reference's path, as the executor has it."""
    clip = pack("motion_lib.video").read_clip(pack("nodes.host.folders").SAMPLES / "camera_pan.mp4")
    with torch.inference_mode():
        return clip.frames, *nodes().CameraMotion.execute(clip.frames.float() / 255).args


def applied(*arguments, to=None):
    with torch.inference_mode():
        return nodes().ApplyCameraMotion.execute(to or model()[0], pan()[1], *arguments)[0]


def white(frames: int = FRAMES) -> torch.Tensor:
    return torch.randn(frames, 4, 16, 16, generator=torch.Generator().manual_seed(7))


def camera_is_followed() -> dict:
    frames, path, report = pan()
    expected = pack("motion_lib.camera.measure").follow_camera(frames)
    rows = torch.tensor(path.rows())
    return {
        "difference": largest(rows, torch.tensor(expected.rows())),
        "moves": float(rows[-1, :2].norm()),
        "report": report == expected.describe(),
    }


def camera_in_sampling() -> dict:
    """Through KSampler: what acts, what stays, and the library's own sampling from the same noise."""
    noise, plain = white(), model()[0]
    before = sampled(plain, noise)
    held = sampled(applied(1.0, 1.0), noise)
    reference, path = library(), pan()[1]
    reference.denoiser.process = pack("nodes.host.kinds").kind_of(plain).process()
    wanted, empty = reference.encode_prompt(["a red star on a grey plain background", ""]).split(1)
    alignment = pack("motion_lib.camera.alignment").CameraAlignment(path, end=0.9)
    expected = pack("motion_lib.diffusion.sampling").sample(
        reference.denoiser,
        noise.movedim(0, 1)[None],
        wanted,
        unconditional=empty,
        guidance=alignment.guidance(4.0),
        steps=4,
        guide=alignment,
    )
    one = white(1)
    return {
        "effect": largest(held, before),
        "library": largest(held.movedim(0, 1)[None], expected) / float(expected.abs().max()),
        "other_way": largest(sampled(applied(-1.0, 1.0), noise), held),
        "strength_0": largest(sampled(applied(1.0, 0.0), noise), before),
        "one_frame": largest(sampled(applied(1.0, 1.0), one, 2), sampled(plain, one, 2)),
        "original": largest(sampled(plain, noise), before),
    }


def camera_beside_other_functions() -> dict:
    """Functions of other nodes on the same MODEL are called as before, and the MODEL that was given keeps only them."""
    calls, noise = [], white()

    def darker(args):
        calls.append(1)
        return args["denoised"] * 0.5

    other = model()[0].clone()
    other.set_model_sampler_post_cfg_function(darker)
    alone = sampled(other, noise, 2)
    calls.clear()
    both = applied(1.0, 1.0, to=other)
    found = sampled(both, noise, 2)
    called = len(calls)
    return {
        "called": called,
        "on_given": len(other.model_options["sampler_post_cfg_function"]),
        "on_original": len(model()[0].model_options.get("sampler_post_cfg_function", [])),
        "effect": largest(found, alone),
        "given": largest(sampled(other, noise, 2), alone),
    }


def held(patcher, clean: torch.Tensor, percent: float, sampling=None) -> torch.Tensor:
    """What the function makes of an estimate at this part of sampling."""
    inner = patcher.model if sampling is None else type("Inner", (), {"model_sampling": sampling})()
    sigma = inner.model_sampling.percent_to_sigma(percent)
    sigma = min(sigma, float(inner.model_sampling.sigma_max)) or float(inner.model_sampling.sigma_min)
    (function,) = patcher.model_options["sampler_post_cfg_function"]
    with torch.inference_mode():
        return function({"denoised": clean, "sigma": torch.full((len(clean),), sigma), "model": inner})


def flow():
    """How flow models are sampled; only its noise schedule is asked for."""
    import comfy.model_sampling as kinds

    return type("Flow", (kinds.ModelSamplingDiscreteFlow, kinds.CONST), {})()


def camera_on_any_latents() -> dict:
    """Videos in a dimension of their own, half precision, several schedules, and gradients."""
    path = pan()[1]
    videos = torch.randn(2, 4, FRAMES, 12, 20, generator=torch.Generator().manual_seed(2))
    expected = pack("motion_lib.camera.alignment").CameraAlignment(path)(videos)
    patcher, whole = applied(1.0, 1.0), applied(1.0, 1.0, 0.0, 1.0)
    late = applied(1.0, 1.0, 0.5, 1.0)
    found = held(patcher, videos, 0.5)
    halves = {kind: held(patcher, videos.to(kind), 0.5) for kind in (torch.float16, torch.bfloat16)}
    single = videos[:, :, :1]
    with_gradient = videos.clone().requires_grad_()
    (function,) = patcher.model_options["sampler_post_cfg_function"]
    function({"denoised": with_gradient, "sigma": torch.ones(2), "model": patcher.model}).square().sum().backward()
    acting = {
        f"{name} {percent} {kind}": largest(held(given, videos, percent, sampling), videos) > 0
        for name, given in (("usual", patcher), ("whole", whole), ("late", late))
        for percent in (0.0, 0.4, 0.6, 0.95, 1.0)
        for kind, sampling in (("eps", None), ("flow", flow()))
    }
    centres = pack("motion_lib.camera.path").pixel_centres((12, 20))

    def before(moving) -> torch.Tensor:
        """A LATENT: something in the middle of the picture, before a background that this camera sees."""
        x, y = moving.resample(FRAMES).to_world(centres).unbind(-1)
        clip = torch.stack([(2 * x).sin(), (2 * y).cos(), (x + y).sin(), x.cos()], 1).unflatten(2, (12, 20))
        clip[: FRAMES // 2 if moving is not path else FRAMES, :, 4:8, 8:12] = 5.0
        return clip

    changes = []
    for moving in (path, path.scaled(0.0)):  # the camera's own clip, and another whose camera stands still
        beside = held(applied(1.0, 1.0, 0.0, 0.9, {"samples": before(moving)}), videos, 0.5)
        changes.append((beside - videos).abs().amax((0, 1)))
    return {
        "apart": [float(change[: FRAMES // 2, 5:7, 9:11].max()) for change in changes],
        "around": [float(change[:, :, :5].mean()) for change in changes],
        "videos": largest(found, expected),
        "half": {str(kind): largest(half.float(), expected) for kind, half in halves.items()},
        "dtypes": all(half.dtype == kind for kind, half in halves.items()),
        "frames_in_batch": largest(held(patcher, videos[0].movedim(1, 0), 0.5).movedim(0, 1), expected[0]),
        "one_frame": largest(held(patcher, single, 0.5), single),
        "gradient": float(with_gradient.grad.norm()),
        "acting": acting,
    }


def noise_of(seed: int, amount: float = 1.0, frames: int = FRAMES, to=None):
    with torch.inference_mode():
        latent = {"samples": torch.zeros(frames, 4, 16, 16)}
        return nodes().CameraNoise.execute(to or model()[0], pan()[1], latent, seed, amount).args


def camera_noise() -> dict:
    import comfy.sample

    clip, path = model()[1], pan()[1]
    empty = {"samples": torch.zeros(FRAMES, 4, 16, 16)}
    noise, latent, report = noise_of(5)
    start = noise.generate_noise(empty)
    shape = (1, 4, FRAMES, 16, 16)
    expected = pack("motion_lib.camera.noise_warping").warped_noise(path.resample(FRAMES), shape, 5)
    several = noise.generate_noise({"samples": torch.zeros(2, 4, 6, 12, 20)})
    still = noise_of(5, 0.0)[0].generate_noise(empty)
    many = noise_of(5, frames=64)[0].generate_noise({"samples": torch.zeros(64, 16, 24, 24)})
    prompt = clip.encode_from_tokens_scheduled(clip.tokenize(""))
    with torch.inference_mode():
        arguments = (model()[0], start, 3, 1.0, "ddim", "simple", prompt, prompt)
        by_noise = comfy.sample.sample(*arguments, empty["samples"], disable_pbar=True, seed=0)
        arguments = (model()[0], torch.zeros_like(start), *arguments[2:])
        by_latent = comfy.sample.sample(
            *arguments, latent["samples"], disable_noise=True, force_full_denoise=True, disable_pbar=True, seed=0
        )
    flowing = model()[0].clone()
    flowing.add_object_patch("model_sampling", flow())
    return {
        "library": largest(start.movedim(0, 1)[None], expected),
        "again": largest(noise_of(5)[0].generate_noise(empty), start),
        "other_seed": largest(noise_of(6)[0].generate_noise(empty), start),
        "deviation": float(many.std()),
        "mean": float(many.mean()),
        "still": largest(still, still[:1].expand_as(still)),
        "several": list(several.shape),
        "half": str(noise.generate_noise({"samples": empty["samples"].half()}).dtype),
        "latent": largest(by_latent, by_noise) / float(by_noise.std()),
        "seed": noise.seed,
        "report": report,
        "flow": noise_of(5, to=flowing)[1].message,
        "flow_noise": largest(noise_of(5, to=flowing)[0].generate_noise(empty), start),
    }


def camera_errors() -> dict:
    error = pack("motion_lib.errors").MotionError

    def sentence(attempt) -> str:
        try:
            attempt()
        except error as found:
            return str(found)
        return "no error"

    def without_opencv():
        known, sys.modules["cv2"] = sys.modules.get("cv2"), None
        try:
            nodes().CameraMotion.execute(clip_pixels())
        finally:
            del sys.modules["cv2"]
            if known is not None:
                sys.modules["cv2"] = known

    packed = {"denoised": torch.zeros(1, 1, 99), "sigma": torch.ones(1), "model": model()[0].model}
    (function,) = applied(1.0, 1.0).model_options["sampler_post_cfg_function"]
    return {
        "nothing to follow": sentence(lambda: nodes().CameraMotion.execute(clip_pixels())),
        "one frame": sentence(lambda: nodes().CameraMotion.execute(clip_pixels()[:1])),
        "no opencv": sentence(without_opencv),
        "too strong": sentence(lambda: applied(1.0, 1.5)),
        "start after end": sentence(lambda: applied(1.0, 1.0, 0.9, 0.2)),
        "packed": sentence(lambda: function(packed)),
    }
