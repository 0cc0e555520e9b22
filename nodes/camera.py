"""The camera motion of a reference clip, given to other videos without training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import comfy.sample
import torch
from comfy_api.latest import io
from einops import rearrange
from torch import Tensor

from ..motion_lib.camera.alignment import EARLY, CameraAlignment, apart_from_camera, likeliest_path
from ..motion_lib.camera.measure import follow_camera
from ..motion_lib.camera.noise_warping import warped_noise
from ..motion_lib.camera.path import AMOUNT_HELP, CameraPath
from ..motion_lib.diffusion.noise import statistics
from ..motion_lib.errors import MotionError
from ..motion_lib.help import help_of
from ..motion_lib.method.application import APPLICATIONS
from .checks import checked
from .host.images import frames_of
from .host.shown import NODE_ID, say
from .noise import noise_outputs, noisy_latent
from .schema import advanced, in_order, schema

CameraMotionType = io.Custom("CAMERA_MOTION")
CAMERA_TIP = "The camera's path, from Camera Motion from Video."
HELP = help_of(CameraAlignment)
AMOUNT = {"default": 1.0, "min": -2.0, "max": 2.0, "step": 0.05}
OBJECTS = APPLICATIONS["hybrid"].objects
END = 0.9  # the last steps are left to the model, which finishes every frame there
EMPHASIS = CameraAlignment.emphasis


class CameraMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "CameraMotion",
            display_name="Camera Motion from Video",
            description="Follows the camera of a clip by its background: pan, tilt, zoom and roll. Nothing is learned.",
            search_aliases=["camera path", "camera tracking", "camera control", "pan", "zoom", "motion transfer"],
            hidden=[NODE_ID],
            inputs=[
                io.Image.Input(
                    "images",
                    tooltip="Frames of the reference clip; its background needs some detail. The new video may have "
                    "another number of frames and another size.",
                )
            ],
            outputs=[
                CameraMotionType.Output(
                    display_name="camera_motion", tooltip="The camera's path, for Apply Camera Motion and Camera Noise."
                ),
                io.String.Output(display_name="report", tooltip="What the camera does, in words."),
            ],
        )

    @classmethod
    @checked
    def execute(cls, images) -> io.NodeOutput:
        path = follow_camera(frames_of(images))
        text = path.describe()
        return io.NodeOutput(path, text, ui=say(cls, text))


class ApplyCameraMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "ApplyCameraMotion",
            display_name="Apply Camera Motion",
            description="Videos sampled with the resulting MODEL are seen by a camera that moves as in the clip. "
            "Nothing is learned: at every step, all frames are made to agree on what each place looks like. It works "
            "with video models whose latents have a frame for every frame of the video, not with Wan.",
            search_aliases=["camera control", "camera transfer", "pan", "zoom", "motion transfer"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="A video MODEL with a latent for every frame, with or without LoRAs, motion embeddings and "
                    "other patches.",
                ),
                CameraMotionType.Input("camera_motion", tooltip=CAMERA_TIP),
                io.Float.Input(
                    "amount",
                    **AMOUNT,
                    tooltip=f"{AMOUNT_HELP} Use the same amount in Camera Noise.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip=HELP["strength"],
                ),
                advanced(
                    io.Float,
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=HELP["start"],
                ),
                advanced(
                    io.Float,
                    "end_percent",
                    default=END,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=HELP["end"],
                ),
                io.Latent.Input(
                    "reference_latent",
                    optional=True,
                    tooltip="Connect this when a motion embedding moves an object: the frames of the embedding's clip, "
                    "from VAE Encode. It is the clip of the camera, or one whose own camera stands still; what moves "
                    "apart from the camera there is left alone.",
                ),
                advanced(
                    io.Float,
                    "prompt_emphasis",
                    default=EMPHASIS,
                    min=0.5,
                    max=4.0,
                    step=0.05,
                    tooltip=HELP["emphasis"],
                ),
            ],
            outputs=[io.Model.Output(tooltip="The MODEL with the camera motion, for KSampler or CFGGuider.")],
        )

    @classmethod
    def validate_inputs(cls, start_percent: float | None = 0.0, end_percent: float | None = END) -> bool | str:
        return in_order(start_percent, end_percent)

    @classmethod
    @checked
    def execute(
        cls,
        model,
        camera_motion: CameraPath,
        amount: float,
        strength: float,
        start_percent: float = 0.0,
        end_percent: float = END,
        reference_latent: dict | None = None,
        prompt_emphasis: float = EMPHASIS,
    ) -> io.NodeOutput:
        check_latents(model)
        with torch.inference_mode(False):  # tensors made in it could not be used by training afterwards
            path, apart = camera_motion.scaled(amount), None
            if reference_latent is not None:
                clip = as_videos(reference_latent["samples"])[:1].clone()
                own = likeliest_path(clip, [camera_motion, camera_motion.scaled(0)])
                apart = apart_from_camera(clip, own, OBJECTS)
        clone = model.clone()
        alignment = CameraAlignment(path, strength, start_percent, end_percent, apart, prompt_emphasis)
        clone.set_model_sampler_post_cfg_function(holding(alignment))
        return io.NodeOutput(clone)


def check_latents(model) -> None:
    """Raise MotionError for a MODEL like Wan, each of whose latent frames holds several frames of the video: what a
    moving camera sees in them is not one world (docs/wan.md)."""
    if model.get_model_object("latent_format").latent_dimensions > 2:
        raise MotionError(
            "Camera motion cannot be held in this MODEL, whose latents have one frame for several of the video, as "
            "Wan's do: leave Apply Camera Motion out."
        )


class CameraNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "CameraNoise",
            display_name="Camera Noise",
            description="Makes start noise that is carried along with the camera, so that the background moves with "
            "the camera from the first step. Use it together with Apply Camera Motion.",
            search_aliases=["warped noise", "noise warping", "initial noise", "camera control"],
            hidden=[NODE_ID],
            inputs=[
                io.Model.Input("model", tooltip="The MODEL that will sample; only its noise schedule is read."),
                CameraMotionType.Input("camera_motion", tooltip=CAMERA_TIP),
                io.Latent.Input(
                    "latent",
                    tooltip="An empty LATENT with the size and the number of frames of the video to make.",
                ),
                io.Int.Input(
                    "noise_seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The seed of the noise; another one makes another scene.",
                ),
                io.Float.Input(
                    "amount",
                    **AMOUNT,
                    tooltip=f"{AMOUNT_HELP} Use the same amount in Apply Camera Motion.",
                ),
            ],
            outputs=noise_outputs("What the camera does, and the mean and standard deviation of the noise."),
        )

    @classmethod
    @checked
    def execute(cls, model, camera_motion: CameraPath, latent: dict, noise_seed: int, amount: float) -> io.NodeOutput:
        path = camera_motion.scaled(amount)
        noise = CarriedNoise(path, noise_seed)
        # Samplers bring an empty LATENT into the MODEL's form before they ask for noise.
        ratios = {name: latent[name] for name in latent if name.startswith("downscale_ratio")}
        start = noise.generate_noise(
            {"samples": comfy.sample.fix_empty_latent_channels(model, latent["samples"], **ratios).float()}
        )
        path = path.resample(as_videos(start).shape[2])
        text = f"{path.describe()}\nStart noise carried along: {statistics(start)}; white noise has 0 and 1."
        return io.NodeOutput(noise, noisy_latent(model, start), text, ui=say(cls, text))


class CarriedNoise:
    """A NOISE of ComfyUI that fits any video."""

    def __init__(self, path: CameraPath, seed: int):
        self.path, self.seed = path, seed

    def generate_noise(self, input_latent: dict[str, Any]) -> Tensor:
        samples = input_latent["samples"]
        shape = as_videos(samples).shape
        noise = warped_noise(self.path.resample(shape[2]), shape, self.seed)
        return formed(noise, samples).to(samples.dtype)


def holding(alignment: CameraAlignment) -> Callable[[dict[str, Any]], Tensor]:
    """The function that a sampler calls with every estimate of the clean video. It is a plain function because older
    versions of ComfyUI copy everything else in a MODEL's options deeply for every clone."""

    def hold(args: dict[str, Any]) -> Tensor:
        clean = args["denoised"]
        videos = as_videos(clean)
        if alignment.strength == 0 or videos.shape[2] == 1 or not lies_in(args, alignment.start, alignment.end):
            return clean
        early = lies_in(args, 0, EARLY)
        if early and args.get("uncond") is not None:  # without it there is no guidance, as at cfg 1
            towards = as_videos(args["cond_denoised"] - args["uncond_denoised"])
            videos = videos + (alignment.emphasis - 1) * args["cond_scale"] * towards
        return formed(alignment.held(videos, early), clean)

    return hold


def lies_in(args: dict[str, Any], start: float, end: float) -> bool:
    """Whether this step lies in a part of sampling, by the noise schedule of the model that samples."""
    sampling, sigma = args["model"].model_sampling, float(args["sigma"].max())
    highest = math.inf if start <= 0 else float(sampling.percent_to_sigma(start))
    lowest = 0.0 if end >= 1 else float(sampling.percent_to_sigma(end))
    return lowest <= sigma <= highest


def as_videos(latents: Tensor) -> Tensor:
    """Latents as `[b, c, f, h, w]`, whether they are that already or hold the frames of one video as their batch."""
    if latents.is_nested or latents.ndim not in (4, 5):
        raise MotionError(
            "This needs the latents of a video, [frames, channels, height, width] or [videos, channels, "
            "frames, height, width], and nothing else: use a MODEL that makes videos without sound."
        )
    return latents if latents.ndim == 5 else rearrange(latents, "f c h w -> 1 c f h w")


def formed(videos: Tensor, like: Tensor) -> Tensor:
    """Back from `as_videos`."""
    return videos if like.ndim == 5 else rearrange(videos, "1 c f h w -> f c h w")
