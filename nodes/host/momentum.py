"""Temporal momentum attention on a MODEL of an image: ComfyUI's own patch of self-attention, whose place is before
queries, keys and values are computed, so that whatever else changes weights or attention acts as well."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from comfy.ldm.modules.attention import SpatialVideoTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from torch import Tensor

from ...motion_lib.errors import MotionError
from ...motion_lib.frames_from_images.momentum import Momentum, running_mean, scale_of

Attention = Callable[[Tensor, Tensor, Tensor, dict[str, Any]], tuple[Tensor, Tensor, Tensor]]


def with_momentum(model: Any, momentum: Momentum) -> Any:
    """A clone of the MODEL with this momentum.

    Raises MotionError for a MODEL that is not an image model with a UNet.
    """
    check_image_model(model)
    clone = model.clone()
    sampling = model.get_model_object("model_sampling")
    highest = math.inf if momentum.start <= 0 else float(sampling.percent_to_sigma(momentum.start))
    lowest = 0.0 if momentum.end >= 1 else float(sampling.percent_to_sigma(momentum.end))
    if momentum.momentum > 0:
        clone.set_model_attn1_patch(looking_back(momentum, lowest, highest))
    return clone


def check_image_model(model: Any) -> None:
    """Raises MotionError, naming its class, for a MODEL whose frames are not pictures that a UNet samples."""
    unet, kind = model.model.diffusion_model, type(model.model).__name__
    wanted = "Temporal momentum attention is for image models with a UNet, such as Stable Diffusion 1.5, 2 and SDXL"
    if not isinstance(unet, UNetModel):
        raise MotionError(f"{wanted}, but this MODEL is a {kind}: load one of those.")
    if any(isinstance(module, SpatialVideoTransformer) for module in unet.modules()):
        raise MotionError(f"{wanted}, but this MODEL is a {kind}, which makes videos by itself: load one of those.")


def looking_back(momentum: Momentum, lowest: float, highest: float) -> Attention:
    """What ComfyUI calls before every self-attention with what queries, keys and values are computed from, `[(b f), n,
    c]`; it acts between these two sigmas. It is a plain function because older versions of ComfyUI copy everything
    else in a MODEL's options deeply for every clone."""

    def attend(n: Tensor, keys: Tensor, values: Tensor, extra: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        batch, _, *size = extra["activations_shape"]
        videos = len(extra.get("cond_or_uncond", (0,)))  # the halves of guidance, or one of them
        if batch == videos or not momentum.acts_in(scale_of(size, extra["original_shape"][2:])):
            return n, keys, values
        # Reading sigma waits for the GPU.
        if not momentum.constant and not lowest <= float(extra["sigmas"].max()) <= highest:
            return n, keys, values
        how = (momentum.momentum, videos, batch // videos)
        looked_at = running_mean(keys, *how)
        return n, looked_at, looked_at if values is keys else running_mean(values, *how)

    return attend
