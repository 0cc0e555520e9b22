"""Start noise that remembers the reference clip."""

from __future__ import annotations

from typing import Any

import comfy.sample
import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker
from einops import rearrange
from torch import Tensor

from ..motion_lib.diffusion.inversion import REFINEMENTS, invert
from ..motion_lib.diffusion.noise import NOISE_HELP, RENORMALISE_HELP, START_NOISES, mix, statistics
from ..motion_lib.errors import MotionError
from ..motion_lib.files import embedding_file as files
from ..motion_lib.help import help_of
from ..motion_lib.method.application import APPLICATIONS, Application
from .checks import checked
from .host.fingerprint import fingerprint, model_state
from .host.folders import INVERTED, result_path
from .host.kinds import kind_of
from .host.session import Progress
from .host.shown import NODE_ID, say
from .schema import advanced, schema

WEIGHT_HELP = help_of(Application)["noise_weight"]
MOST_NOISE_DEVIATION = 2.0  # clean latents lie around 5, since ComfyUI keeps them unscaled


class InvertVideoToNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "Invert",
            display_name="Invert Video to Noise",
            description="Finds the noise from which the MODEL would sample the reference clip (DDIM inversion). The "
            "result is written to disk and reused.",
            search_aliases=["ddim inversion", "motion inversion", "unsample", "noise prior"],
            inputs=[
                io.Model.Input("model", tooltip="The MODEL as it was loaded, without a motion embedding."),
                io.Latent.Input("latent", tooltip="The frames of the reference clip, from VAE Encode."),
                io.Int.Input(
                    "steps",
                    default=50,
                    min=1,
                    max=1000,
                    tooltip="How many steps the inversion takes: at least as many as you sample with. With more "
                    "steps the noise is more exact.",
                ),
                io.Conditioning.Input(
                    "conditioning",
                    optional=True,
                    tooltip="Usually left unconnected, which means the empty prompt and keeps words out of the noise. "
                    "Wan needs one: connect CLIP Text Encode with an empty text.",
                ),
                advanced(
                    io.Int,
                    "refinements",
                    default=REFINEMENTS,
                    min=0,
                    max=10,
                    tooltip="Extra calls of the model in each step; each removes most of the error that is left.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="inverted_noise", tooltip="The noise, for Mix Inversion Noise.")],
        )

    @classmethod
    @checked
    def execute(
        cls, model, latent: dict, steps: int, conditioning=None, refinements: int = REFINEMENTS
    ) -> io.NodeOutput:
        kind = kind_of(model)
        with torch.inference_mode(False):
            latents = kind.latents(latent, torch.device("cpu"))
            told = kind.conditioning(conditioning, latents, torch.device("cpu"))
        key = fingerprint(model_state(model), latents, told, steps, refinements)
        path = result_path(INVERTED, f"{key[:16]}.latent")
        if not path.is_file():
            with kind.ready_to_invert(latents) as (denoiser, device):
                progress = Progress(model, steps)
                noise = invert(
                    denoiser,
                    latents.to(device),
                    told.to(device),
                    steps=steps,
                    refinements=refinements,
                    on_step=lambda step: progress.update(step.number + 1, step.clean),
                )
                progress.update(steps)
            samples = kind.samples(noise.cpu())
            # ComfyUI's own .latent format
            files.write(path, {"latent_tensor": samples, "latent_format_version_0": torch.tensor([])}, {})
        return io.NodeOutput({"samples": files.read(path)[0]["latent_tensor"]})


class MixInversionNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "MixNoise",
            display_name="Mix Inversion Noise",
            description="Makes start noise that lies between fresh noise and the noise of the inverted reference clip.",
            search_aliases=["noise prior", "noise blend", "motion inversion", "initial noise", "freeinit"],
            hidden=[NODE_ID],
            inputs=[
                io.Model.Input("model", tooltip="The MODEL that will sample; only its noise schedule is read."),
                io.Latent.Input("inverted_noise", tooltip="The clip's noise, from Invert Video to Noise."),
                io.Float.Input(
                    "weight",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip=f"{WEIGHT_HELP} The presets object and hybrid were made for "
                    f"{APPLICATIONS['object'].noise_weight:g} and {APPLICATIONS['hybrid'].noise_weight:g}.",
                ),
                io.Int.Input(
                    "noise_seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The seed of the fresh noise.",
                ),
                advanced(
                    io.Combo,
                    "method",
                    options=list(START_NOISES),
                    default=next(iter(START_NOISES)),
                    tooltip=NOISE_HELP,
                ),
                advanced(
                    io.Boolean,
                    "renormalise",
                    default=False,
                    tooltip=f"{RENORMALISE_HELP} The report under the node says how far off it is.",
                ),
            ],
            outputs=noise_outputs("The mean and the standard deviation of the noise."),
        )

    @classmethod
    @checked
    def execute(
        cls,
        model,
        inverted_noise: dict,
        weight: float,
        noise_seed: int,
        method: str = "blend",
        renormalise: bool = False,
    ) -> io.NodeOutput:
        noise = MixedNoise(inverted_noise["samples"], weight, noise_seed, method, renormalise)
        start = noise.generate_noise({"samples": torch.zeros_like(noise.inverted)})
        text = f"Start noise {method}: {statistics(start)}; white noise has 0 and 1."
        return io.NodeOutput(noise, noisy_latent(model, start), text, ui=say(cls, text))


class MixedNoise:
    """A NOISE of ComfyUI. inverted: `[f, c, h, w]`, or `[1, c, f, h, w]` of Wan."""

    def __init__(self, inverted: Tensor, weight: float, seed: int, method: str, renormalise: bool = False):
        spread = float(inverted.std())
        if not spread <= MOST_NOISE_DEVIATION:
            raise MotionError(
                f"inverted_noise has a standard deviation of {spread:.2f}, but noise has about 1: connect Invert Video "
                f"to Noise, not the clip's own LATENT."
            )
        self.inverted, self.seed = inverted, seed
        self.how = {"weight": weight, "noise": method, "renormalise": renormalise}

    def generate_noise(self, input_latent: dict[str, Any]) -> Tensor:
        samples = input_latent["samples"]
        if samples.shape != self.inverted.shape:
            raise MotionError(
                f"The LATENT to sample has the shape {list(samples.shape)}, but the inverted noise has "
                f"{list(self.inverted.shape)}: use as many frames and the same size as the reference clip."
            )
        fresh = comfy.sample.prepare_noise(samples, self.seed, input_latent.get("batch_index"))
        own = (self.inverted.cpu().float(), fresh.float())
        if samples.ndim == 5:
            return mix(*own, **self.how).to(samples.dtype)
        as_video = [rearrange(noise, "f c h w -> 1 c f h w") for noise in own]
        return rearrange(mix(*as_video, **self.how), "1 c f h w -> f c h w").to(samples.dtype)


def noisy_latent(model, start: Tensor) -> dict[str, Tensor] | ExecutionBlocker:
    """Start noise as a LATENT, scaled as a sampler that adds no noise expects it. Where no LATENT can hold it, the node
    that it is connected to says so, and the other nodes run."""
    sampling = model.get_model_object("model_sampling")
    sigma = sampling.sigma_max.to(start)
    noisy = sampling.noise_scaling(sigma, start, torch.zeros_like(start), True)
    if not torch.equal(sampling.noise_scaling(sigma, torch.zeros_like(start), noisy, True), noisy):
        return ExecutionBlocker(
            "This MODEL is sampled as flow models are, and those cannot start from a LATENT of noise: connect NOISE to "
            "SamplerCustomAdvanced instead of using noisy_latent."
        )
    return {"samples": model.model.process_latent_out(noisy)}


def noise_outputs(report: str) -> list[io.Output]:
    """The outputs of a node that makes start noise; report: the tooltip of its report."""
    return [
        io.Noise.Output(tooltip="The start noise, for SamplerCustomAdvanced."),
        io.Latent.Output(
            display_name="noisy_latent",
            tooltip="The same noise for KSampler (Advanced) with add_noise disabled, from step 0, with a scheduler "
            "that starts at full noise, such as simple. It does not work with flow models.",
        ),
        io.String.Output(display_name="report", tooltip=report),
    ]
