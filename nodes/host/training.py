"""A loaded MODEL to train with: the library's fast passes, in the memory that the host can make free."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import comfy.model_management as management
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...motion_lib.backbones.accelerate.training_modes import (
    USABLE,
    Plan,
    accelerated,
    faster,
    plan_training,
    training_bytes,
)
from ...motion_lib.method.embedding import MotionEmbedding
from .denoiser import ModelDenoiser
from .recording import may_record, weights_lie_still
from .session import loaded, room_beside

SAVE_MEMORY = {"auto": "auto", "on": "low_memory", "off": "fast"}  # the node's words for the library's modes


@contextmanager
def ready_to_train(
    model: ModelPatcher, shape: tuple[int, ...], embedding: MotionEmbedding, save_memory: str, vae: Any = None
) -> Iterator[tuple[ModelDenoiser, torch.device, Plan]]:
    """The Denoiser, its device and how it computes, for as long as the context lasts; afterwards the model is as it was
    and the memory is the host's again.

    shape: `[f, c, h, w]` of the latents. save_memory: a key of SAVE_MEMORY. vae: as for `loaded`.
    """
    plan = plan_for(model, shape, embedding, save_memory, room_beside(model, shape, vae))
    try:
        with loaded(model, shape, (plan.needed or 0) / USABLE, vae) as device:
            if plan.mode == "plain":
                logging.info(plan.describe())
                yield ModelDenoiser(model, recompute=bool(plan.recompute), fast=False), device, plan
                return
            there = int(management.get_free_memory(device))
            if (plan.needed or 0) > there:  # another program holds some
                plan = plan_for(model, shape, embedding, save_memory, there)
            plan = replace(plan, graphs=plan.graphs and may_record() and weights_lie_still(model.model.diffusion_model))
            logging.info(plan.describe())
            denoiser = ModelDenoiser(model, fast=False)
            with accelerated(denoiser, plan) as run:
                denoiser.run_through(run)
                del run
                try:
                    yield denoiser, device, plan
                finally:
                    denoiser.run_through(None)
    finally:
        management.soft_empty_cache()  # what recordings held


def plan_for(
    model: ModelPatcher, shape: tuple[int, ...], embedding: MotionEmbedding, save_memory: str, room: int | None
) -> Plan:
    """room: bytes beside the model, None where that means nothing."""
    unet, device = model.model.diffusion_model, model.load_device
    frames, channels, height, width = shape
    given = (1, channels, frames, height, width)
    with torch.inference_mode(False):
        if faster(unet.abilities, device):
            return plan_training(unet, SAVE_MEMORY[save_memory], given, embedding, device, room)
        again = save_memory == "on" or (save_memory == "auto" and device.type != "cpu")
        plan = Plan("plain", recompute=("transformer", "convolution") if again else ())
        hosted = replace(unet.abilities, compute=partial(_as_diffusers, unet))
        return replace(plan, needed=training_bytes(hosted, given, embedding, plan))


def _as_diffusers(unet: Any, parts: tuple[str, ...]) -> Callable[..., Tensor]:
    return partial(unet.as_diffusers, recompute=bool(parts))
