"""A MODEL as motion_lib's Denoiser, for training and inversion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import comfy.model_sampling
import comfy.patcher_extension
import torch
from comfy.model_patcher import ModelPatcher, create_model_options_clone
from einops import rearrange
from torch import Tensor

from ...motion_lib.backbones.accelerate.abilities import Abilities
from ...motion_lib.diffusion.schedule import NoiseSchedule
from ...motion_lib.errors import MotionError
from ...motion_lib.method.embedding import Backbone
from ...motion_lib.method.patch import PreparedPatch
from .model import MotionVideoModel
from .patch import KEY, ReadyPatch
from .wan import backbone_of as wan_backbone
from .wan import is_wan


def backbone_of(model: ModelPatcher) -> Backbone:
    """Where motions act in a MODEL; raises MotionError when it is not one that motion embeddings can act on."""
    if isinstance(model.model, MotionVideoModel):
        return model.model.diffusion_model.backbone
    if is_wan(model):
        return wan_backbone(model)
    kind = type(model.model).__name__
    raise MotionError(
        f"This MODEL ({kind}) has no layers that motion embeddings can act on: connect one from Load Motion Video "
        f"Model, or a text-to-video or image-to-video model of Wan 2.1 or 2.2."
    )


def check_can_learn(model: ModelPatcher) -> None:
    """Raise MotionError for a MODEL with which nothing can be learned or inverted here."""
    if is_wan(model):
        raise MotionError(
            "Learning and inverting with a Wan MODEL cannot be done in ComfyUI yet: learn the motion with "
            "motion-inversion train, and load its file with Load Motion Embedding."
        )


def schedule_of(model: ModelPatcher) -> NoiseSchedule:
    """The noise schedule that sampling with this MODEL uses, nodes such as ModelSamplingDiscrete included.

    ComfyUI's samplers end at σ = 0, so the clean end has ᾱ = 1.
    """
    sampling = model.get_model_object("model_sampling")
    if not hasattr(sampling, "sigmas") or not isinstance(sampling, comfy.model_sampling.EPS):
        raise MotionError(
            f"The MODEL is sampled as {type(sampling).__name__}, but ε or v prediction is needed: remove the node that "
            f"changes its sampling."
        )
    is_v = isinstance(sampling, comfy.model_sampling.V_PREDICTION)
    return NoiseSchedule(
        alphas_cumprod=1 / (1 + sampling.sigmas.double().cpu() ** 2),
        prediction="v_prediction" if is_v else "epsilon",
        spacing=model.model.spacing,
        steps_offset=model.model.steps_offset,
    )


class ModelDenoiser:
    """Calls a loaded MODEL on latents `[b, c, f, h, w]`, through apply_model, so that LoRA, hooks and other patches on
    it act. `clean` is the last call's estimate of the clean latents, for previews.

    fast: through the faster pass, or diffusers'; if None, as sampling runs: the faster one for calls without gradients,
    where it suits. recompute: what the backward pass needs is computed again there, in the pass that `fast` names."""

    def __init__(self, model: ModelPatcher, recompute: bool = False, fast: bool | None = None):
        from ...motion_lib.backbones.unet3d.frozen_pass import PARTS, FrozenPass  # needs diffusers

        check_can_learn(model)
        self.backbone, self.process = backbone_of(model), schedule_of(model)
        self.model, self.clean = model, torch.empty(0)
        self.unet = model.model.diffusion_model
        options = create_model_options_clone(model.model_options)["transformer_options"]
        wrappers = options.setdefault("wrappers", {})
        comfy.patcher_extension.merge_nested_dicts(wrappers, model.wrappers, copy_dict1=False)
        self.options: dict[str, Any] = options
        if fast is not None:
            plain = partial(self.unet.as_diffusers, recompute=recompute)
            self.run_through(FrozenPass(self.unet, PARTS if recompute else ()) if fast else plain)

    def run_through(self, run: Callable[..., Tensor] | None) -> None:
        """What computes: `run(latents, timesteps, conditioning, patches)`, or what the UNet chooses if None."""
        from .unet import PASS

        self.options[PASS] = run

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Tensor, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        """conditioning: `[b, tokens, width]`."""
        videos, frames = len(latents), latents.shape[2]
        alpha = self.process.alpha(timesteps, latents)
        signal, spread = alpha.sqrt().to(latents), (1 - alpha).sqrt().to(latents)
        sigma = (spread / signal).flatten().repeat_interleave(frames)
        ready = [ReadyPatch(patch) for patch in patches]
        given = self.options.get("patches", {})
        clean = self.model.model.apply_model(
            rearrange(latents / signal, "b c f h w -> (b f) c h w"),
            sigma,
            c_crossattn=conditioning.repeat_interleave(frames, dim=0),
            transformer_options={
                **self.options,
                "cond_or_uncond": [0] * videos,
                "sigmas": sigma[:1],
                "patches": {**given, KEY: [*given.get(KEY, ()), *ready]},
            },
        )
        clean = rearrange(clean, "(b f) c h w -> b c f h w", b=videos)
        self.clean = clean.detach()
        if self.process.prediction == "epsilon":
            return (latents - signal * clean) / spread
        return (signal * latents - clean) / spread

    @property
    def abilities(self) -> Abilities:
        return self.unet.abilities

    def spatial_linears(self) -> dict[str, torch.nn.Linear]:
        """Where a loss with a spatial term has its LoRA while training."""
        from ...motion_lib.backbones.temporal import spatial_linears  # needs diffusers

        return spatial_linears(self.unet)


def video_latents(model: ModelPatcher, latent: dict[str, Any], device: torch.device) -> Tensor:
    """`[1, c, f, h, w]` as the model sees them, of a LATENT `[f, c, h, w]`; raises MotionError for another shape."""
    check_can_learn(model)
    samples = plain(latent["samples"])
    channels = model.model.latent_format.latent_channels
    if samples.ndim == 5 and len(samples) == 1:
        samples = samples[0].movedim(0, 1)
    if samples.ndim != 4 or samples.shape[1] != channels:
        raise MotionError(
            f"The LATENT has the shape {list(samples.shape)}, but [frames, {channels}, height, width] is needed: "
            f"encode the clip's frames with the VAE of Load Motion Video Model."
        )
    samples = model.model.process_latent_in(samples)
    return rearrange(samples, "f c h w -> 1 c f h w").to(device, torch.float32)


def text_embedding(model: ModelPatcher, conditioning: list | None, device: torch.device) -> Tensor:
    """`[1, tokens, width]` of a CONDITIONING, or of the empty prompt if there is none; raises MotionError for one that
    another model's text encoder made."""
    if conditioning is None:
        return plain(model.model.empty_prompt()).to(device)
    if not conditioning:
        raise MotionError("The CONDITIONING is empty: connect CLIP Text Encode.")
    tokens, width = plain(conditioning[0][0]), model.model.diffusion_model.config.cross_attention_dim
    if tokens.ndim != 3 or not tokens.numel() or tokens.shape[-1] != width:
        raise MotionError(
            f"The CONDITIONING has the shape {list(tokens.shape)}, but [1, tokens, {width}] is needed: encode the text "
            f"with the CLIP of Load Motion Video Model."
        )
    return tokens[:1].to(device)


def plain(tensor: Tensor) -> Tensor:
    """A tensor that training can use: the executor makes inference tensors."""
    return tensor.detach().clone()
