"""A loaded MODEL of Wan to train with, in the memory that the host can make free."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import comfy.model_management as management
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...motion_lib.backbones.accelerate.abilities import Abilities
from ...motion_lib.backbones.accelerate.training_modes import USABLE, Plan, training_bytes
from ...motion_lib.diffusion.conditioning import Conditioning
from ...motion_lib.errors import MotionError
from ...motion_lib.method.embedding import MotionEmbedding
from ...motion_lib.method.patch import PreparedPatch
from .session import in_training, loaded, room_beside
from .wan import backbone_of, while_learning, with_replacements
from .wan_denoiser import WanModelDenoiser

RUNGS = ((), ("block",))  # what is computed twice


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
    abilities, channels = abilities_of(model, conditioning), model.model.diffusion_model.in_dim
    shape = (1, channels, *latents.shape[2:])  # the host adds channels to the latents' own
    plans = [Plan("plain", rung) for rung in abilities.rungs]
    for plan in {"off": plans[:1], "on": plans[-1:]}.get(save_memory, plans):
        with torch.inference_mode(False), in_training():
            needed = training_bytes(abilities, shape, embedding, plan)
        plan = replace(plan, needed=needed, free=room)
        if room is None or needed <= USABLE * room:
            return plan
    return plan


def abilities_of(model: ModelPatcher, conditioning: Conditioning) -> Abilities:
    """Of a MODEL's own network, on latents to which the host has added what the network takes beside them."""
    wan, dtype = model.model.diffusion_model, model.model.manual_cast_dtype or model.model.get_dtype()
    text = tuple(conditioning.text.shape[1:])
    return Abilities(backbone_of(model).family, wan, text, partial(_learning, wan), RUNGS, dtype=dtype)


def _learning(wan: Any, parts: tuple[str, ...]) -> Callable[..., Tensor]:
    return partial(_learning_step, wan, bool(parts))


def _learning_step(
    wan: Any, recompute: bool, latents: Tensor, at: Tensor, text: Tensor, patches: Sequence[PreparedPatch]
) -> Tensor:
    options = with_replacements(while_learning(recompute), patches, wan.blocks, latents.shape[2])
    return wan(latents, at, text, transformer_options=options)


def _lying_still(model: ModelPatcher) -> ModelPatcher:
    """The MODEL, or the host's own copy of one whose weights it may move out during a step: what the backward pass
    reads must stay."""
    moving = getattr(model, "is_dynamic", None)
    if moving is None or not moving():
        return model
    if model.cached_patcher_init is None:
        raise MotionError(
            "The node that loaded this MODEL does not tell ComfyUI how to load it again, which learning needs beside "
            "DynamicVRAM: use Load Diffusion Model, or start ComfyUI with --disable-dynamic-vram."
        )
    return model.clone(disable_dynamic=True)
