"""Video from an image model without training: start noise that ties frames, and attention that ties what is in them."""

from __future__ import annotations

from typing import Any

import comfy.sample
from comfy_api.latest import io
from torch import Tensor

from ..motion_lib.diffusion.frame_noise import PRIOR_HELP, PRIORS, SIMILARITY_HELP, similarity_of, tied
from ..motion_lib.diffusion.noise import statistics
from ..motion_lib.errors import MotionError
from ..motion_lib.frames_from_images.momentum import Momentum, parse_scales
from ..motion_lib.help import help_of
from .camera import as_videos, formed
from .checks import checked
from .host.momentum import with_momentum
from .host.shown import NODE_ID, say
from .noise import noise_outputs, noisy_latent
from .schema import advanced, in_order, schema

HELP = help_of(Momentum)
PRIOR = next(iter(PRIORS))
SIMILARITY = round(similarity_of(PRIOR), 3)


class FrameNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "FrameNoise",
            display_name="Frame Noise",
            description="Makes start noise whose frames resemble each other, so that an image model makes frames that "
            "belong together. Use it together with Temporal Momentum Attention.",
            search_aliases=["zs2", "dependency noise", "progressive noise", "mixed noise", "noise prior", "pyoco"],
            hidden=[NODE_ID],
            inputs=[
                io.Model.Input("model", tooltip="The MODEL that will sample; only its noise schedule is read."),
                io.Latent.Input(
                    "latent",
                    tooltip="An empty LATENT of the video's size; its batch_size is the number of frames.",
                ),
                io.Combo.Input("prior", options=list(PRIORS), default=PRIOR, tooltip=PRIOR_HELP),
                io.Float.Input(
                    "similarity",
                    default=SIMILARITY,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    round=0.0001,
                    tooltip=SIMILARITY_HELP,
                ),
                io.Int.Input(
                    "noise_seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The seed of the noise. The noise of the first frame depends on nothing else.",
                ),
            ],
            outputs=noise_outputs("What ties the frames, and the mean and the standard deviation of the noise."),
        )

    @classmethod
    @checked
    def execute(cls, model, latent: dict, prior: str, similarity: float, noise_seed: int) -> io.NodeOutput:
        # Samplers bring an empty LATENT into the MODEL's form before they ask for noise.
        ratios = {name: latent[name] for name in latent if name.startswith("downscale_ratio")}
        empty = comfy.sample.fix_empty_latent_channels(model, latent["samples"], **ratios).float()
        frames = as_videos(empty).shape[2]
        if frames < 2:
            raise MotionError(
                "The LATENT has one frame, which nothing can be tied to: set batch_size of Empty Latent Image to the "
                "number of frames."
            )
        noise = TiedNoise(prior, similarity, noise_seed)
        start = noise.generate_noise({**latent, "samples": empty})
        text = f"Start noise {prior} over {frames} frames"
        if PRIORS[prior].symbol:
            text += f", of which neighbours correlate by {similarity:g}"
        text += f": {statistics(start)}; white noise has 0 and 1."
        return io.NodeOutput(noise, noisy_latent(model, start), text, ui=say(cls, text))


class TiedNoise:
    """A NOISE of ComfyUI for frames as a batch and for videos; independent is ComfyUI's own noise of that seed."""

    def __init__(self, prior: str, similarity: float, seed: int):
        self.prior, self.similarity, self.seed = prior, similarity, seed

    def generate_noise(self, input_latent: dict[str, Any]) -> Tensor:
        samples = input_latent["samples"]
        as_videos(samples)  # refuses what has no frames, before noise is drawn for it
        fresh = comfy.sample.prepare_noise(samples, self.seed, input_latent.get("batch_index"))
        return formed(tied(as_videos(fresh), self.prior, self.similarity), samples).to(samples.dtype)


class TemporalMomentumAttention(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "MomentumAttention",
            display_name="Temporal Momentum Attention",
            description="Pictures that are sampled as one batch become the frames of a video: in the self-attention of "
            "the resulting MODEL, every frame looks at what the frames before it look like. Nothing is learned. It is "
            "for image models with a UNet: Stable Diffusion 1.5, 2 and SDXL.",
            search_aliases=["zs2", "cross-frame attention", "text2video-zero", "image to video", "consistent frames"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="An image MODEL with a UNet, with or without LoRAs, ControlNets and other patches.",
                ),
                io.Float.Input(
                    "momentum",
                    default=Momentum.momentum,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=HELP["momentum"],
                ),
                advanced(
                    io.Float,
                    "start_percent",
                    default=Momentum.start,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=HELP["start"],
                ),
                advanced(
                    io.Float,
                    "end_percent",
                    default=Momentum.end,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=HELP["end"],
                ),
                advanced(
                    io.String,
                    "scales",
                    default="",
                    tooltip=f"{HELP['scales']} Stable Diffusion has 1, 2, 4 and 8; SDXL has 2 and 4.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The MODEL whose frames look back, for KSampler or CFGGuider.")],
        )

    @classmethod
    def validate_inputs(cls, start_percent: float | None = 0.0, end_percent: float | None = 1.0) -> bool | str:
        return in_order(start_percent, end_percent)

    @classmethod
    @checked
    def execute(
        cls, model, momentum: float, start_percent: float = 0.0, end_percent: float = 1.0, scales: str = ""
    ) -> io.NodeOutput:
        how = Momentum(momentum, start_percent, end_percent, parse_scales("scales", scales))
        return io.NodeOutput(with_momentum(model, how))
