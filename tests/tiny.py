"""A UNet3DConditionModel with random weights, small enough to run in milliseconds, and what goes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from motion_lib.backbones.unet3d.denoiser import UNet3DDenoiser
from motion_lib.backbones.unet3d.tiny import TEXT_WIDTH, tiny_unet
from motion_lib.camera.path import CameraPath
from motion_lib.diffusion.flow import FlowMatching
from motion_lib.diffusion.schedule import NoiseSchedule
from motion_lib.files.details import read_details, written_details
from motion_lib.method.embedding import Backbone, MotionEmbedding

SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
ZERO_SNR = {
    **SCHEDULE,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "set_alpha_to_one": False,
}


@lru_cache(maxsize=8)
def tiny_denoiser(prediction: str = "epsilon", dtype: torch.dtype = torch.float32) -> UNet3DDenoiser:
    """One model for all tests: calling it changes nothing, as tests/test_attention.py shows."""
    config = SCHEDULE if prediction == "epsilon" else ZERO_SNR
    return UNet3DDenoiser(tiny_unet().to(dtype), NoiseSchedule.from_config(config))


@lru_cache(maxsize=1)
def tiny_flow_denoiser() -> UNet3DDenoiser:
    """The same network taken for one of flow matching."""
    return UNet3DDenoiser(tiny_unet(), FlowMatching(shift=3.0))


def tiny_backbone() -> Backbone:
    return tiny_denoiser().backbone


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def path_of(*rows: Sequence[float]) -> CameraPath:
    """Of shift right, shift down, ln zoom and roll in every frame, as `CameraPath.rows` gives them."""
    values = torch.tensor(rows, dtype=torch.float32)
    return CameraPath(values[:, :2], values[:, 2], values[:, 3])


def text(videos: int = 1, seed: int = 7, dtype: torch.dtype = torch.float32) -> Tensor:
    """A conditioning `[b, 3, width]`."""
    return randn(videos, 3, TEXT_WIDTH, seed=seed, dtype=dtype)


def random_embedding(
    backbone: Backbone,
    sites: str = "all",
    frames: int = 3,
    size: tuple[int, int] = (5, 6),
    components: str = "both",
    seed: int = 1,
    dtype: torch.dtype = torch.float32,
    **choices: str,
) -> MotionEmbedding:
    """Every tensor Gaussian, each with its own seed. choices: integration, qk_axes, v_axes."""
    zeros = MotionEmbedding.zeros(backbone, sites, frames, size, components, **choices)
    tensors = {k: randn(*t.shape, seed=1000 * seed + i, dtype=dtype) for i, (k, t) in enumerate(zeros.tensors.items())}
    return zeros.with_tensors(tensors)


def saying(embedding: MotionEmbedding, details: Mapping[str, Any]) -> MotionEmbedding:
    """The same as if its file said this of itself."""
    origin, advice = read_details(details)
    return replace(embedding, origin=origin, advice=advice)


def said_by(embedding: MotionEmbedding) -> dict[str, Any]:
    """What its file says of itself."""
    return written_details(embedding.origin, embedding.advice)
