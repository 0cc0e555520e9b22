"""Whether what a MODEL computes can be recorded as CUDA graphs here."""

from __future__ import annotations

import logging
from functools import lru_cache

import torch
from torch import nn


def may_record() -> bool:
    """Whether the allocator is PyTorch's own, DynamicVRAM on or off. Of memory that cudaMallocAsync gives during a
    recording, which ComfyUI turns on for most cards, Triton cannot tell that it is the GPU's; the log says so once."""
    if torch.cuda.get_allocator_backend() == "native":
        return True
    _say_once(
        "Training and sampling are not recorded as CUDA graphs beside cudaMallocAsync: on a fast GPU, which waits for "
        "the processor, --disable-cuda-malloc makes them faster."
    )
    return False


@lru_cache
def _say_once(sentence: str) -> None:
    logging.info(sentence)


def weights_lie_still(unet: nn.Module) -> bool:
    """Whether all layers read their own weights: a recording reads the same memory in every step."""
    return all(layer.acts_as_its_base() for layer in unet.modules() if hasattr(layer, "acts_as_its_base"))
