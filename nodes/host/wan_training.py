"""A loaded MODEL of Wan to train with, in the memory that the host can make free."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import comfy.model_management as management
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...motion_lib.backbones.accelerate.training_modes import USABLE, Plan
from ...motion_lib.diffusion.conditioning import Conditioning
from ...motion_lib.errors import MotionError
from ...motion_lib.method.embedding import MotionEmbedding
from .session import loaded, room_beside
from .wan_denoiser import WanModelDenoiser
from .wan_memory import training_bytes

BLOCKS = ("block",)  # what is computed twice


@contextmanager
def ready_to_train(
    model: ModelPatcher, latents: Tensor, conditioning: Conditioning, embedding: MotionEmbedding, save_memory: str, vae
) -> Iterator[tuple[WanModelDenoiser, torch.device, Plan]]:
    """See Kind."""
    if not hasattr(management, "in_training"):
        raise MotionError("This ComfyUI has kernels for Wan that cannot learn: update it to 0.28 or newer.")
    shape = tuple(latents.shape)
    model = _lying_still(model)
    plan = plan_for(model, latents, conditioning, embedding, save_memory, room_beside(model, shape, vae))
    try:
        with loaded(model, shape, (plan.needed or 0) / USABLE, vae) as device:
            logging.info(plan.describe())
            yield WanModelDenoiser(model, recompute=bool(plan.recompute)), device, plan
    finally:
        management.soft_empty_cache()


def plan_for(
    model: ModelPatcher,
    latents: Tensor,
    conditioning: Conditioning,
    embedding: MotionEmbedding,
    save_memory: str,
    room: int | None,
) -> Plan:
    """room: bytes beside the model, None where that means nothing; what saves memory is then chosen only if asked."""
    plans = {"off": [Plan("plain")], "on": [Plan("plain", BLOCKS)]}
    for plan in plans.get(save_memory, [*plans["off"], *plans["on"]]):
        needed = training_bytes(model, latents, conditioning, embedding, bool(plan.recompute))
        plan = replace(plan, needed=needed, free=room)
        if room is None or needed <= USABLE * room:
            return plan
    return plan


def _lying_still(model: ModelPatcher) -> ModelPatcher:
    """The MODEL, or the host's own copy of one whose weights it may move out during a step: what the backward pass
    reads must stay."""
    moving = getattr(model, "is_dynamic", None)
    return model.clone(disable_dynamic=True) if moving is not None and moving() else model
