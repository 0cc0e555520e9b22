"""The whole method on a card of 8 GB: encode, invert, train, sample and decode under a cap on the allocator."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from ..backbones.accelerate.recorded_sampling import for_sampling
from ..backbones.accelerate.training_modes import accelerated, plan_training
from ..backbones.codec import PictureCodec
from ..backbones.model import VideoModel
from ..backbones.text import ClipText
from ..bundled.models import SamplingDefaults
from ..diffusion.inversion import invert
from ..diffusion.noise import mix
from ..diffusion.sampling import random_noise, sample
from ..method.patch import MotionPatch
from ..training.loop import train
from ..training.settings import TrainingSettings
from ..training.state import TrainingState
from .device_use import GIB, free
from .full_size import FULL, FULL_VAE, TOKENS, random_denoiser
from .training_speed import Bench, Shape

CAP = 7.5  # GiB: what 8 GB leave beside a desktop
STEPS = 10


def under_a_cap(bench: Bench, shape: Shape) -> tuple[str, dict[str, float]]:
    """The plan's sentence, and the peak of every stage in GiB reserved; raises torch.OutOfMemoryError where it does not
    fit. Needs a GPU; the text encoder has the size of ModelScope's, the autoencoder that of Stable Diffusion."""
    bench.clear()
    total, index = torch.cuda.get_device_properties(bench.device).total_memory, bench.device.index or 0
    torch.cuda.set_per_process_memory_fraction(CAP * GIB / total, index)
    torch.cuda.reset_peak_memory_stats(bench.device)  # what was measured before may have held more
    try:
        return _whole_method(bench, shape)
    finally:
        free()
        torch.cuda.set_per_process_memory_fraction(1.0, index)


def _whole_method(bench: Bench, shape: Shape) -> tuple[str, dict[str, float]]:
    model = _model(bench)
    peaks: dict[str, float] = {}
    began = time.perf_counter()

    def stage(name: str) -> None:
        peaks[name] = torch.cuda.max_memory_reserved(bench.device) / GIB
        free()
        torch.cuda.reset_peak_memory_stats(bench.device)

    stage("load")
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, (2, TOKENS), generator=generator).to(bench.device)
    with torch.no_grad():
        text: Tensor = model.text.model(ids)[0]
    pixels = torch.randint(256, (shape.frames, shape.height, shape.width, 3), generator=generator, dtype=torch.uint8)
    latents = model.encode_video(pixels)
    stage("encode")
    with for_sampling(model.denoiser) as ready:
        inverted = invert(ready, latents, text[:1], steps=STEPS)
    stage("invert")
    embedding = bench.embedding_for(model.denoiser, shape)  # type: ignore[arg-type]
    state = TrainingState.start(embedding, TrainingSettings(steps=STEPS), bench.device)
    plan = plan_training(model.denoiser, "auto", latents.shape, embedding)
    with accelerated(model.denoiser, plan) as ready:
        for _ in train(ready, latents, text[:1], state):
            pass
    stage("train")
    noise = mix(inverted, random_noise(latents.shape, 0, latents), 0.5)
    patch = MotionPatch(state.embedding.detached(), debias="difference")
    with for_sampling(model.denoiser) as ready:
        out = sample(ready, noise, text[:1], unconditional=text[1:], guidance=10.0, steps=STEPS, patches=[patch])
    stage("sample")
    frames = model.decode_video(out)
    stage("decode")
    assert frames.shape == pixels.shape
    peaks["seconds"] = time.perf_counter() - began
    return plan.describe(), peaks


def _model(bench: Bench) -> VideoModel:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        vae: Any = AutoencoderKL(**FULL_VAE)
    config = CLIPTextConfig(
        hidden_size=FULL["cross_attention_dim"], intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16
    )
    text_encoder: Any = CLIPTextModel(config)
    parts = [_drawn(vae, bench), text_encoder.to(bench.device, bench.half)]
    for part in parts:
        part.requires_grad_(False).eval()
    denoiser = random_denoiser(FULL, bench.device, bench.half)
    codec, text = PictureCodec(parts[0]), ClipText(None, parts[1])
    return VideoModel("random", denoiser, codec, text, SamplingDefaults(), bench.device, bench.half)


def _drawn(vae: Any, bench: Bench) -> Any:
    vae = torch.nn.Module.to(vae, bench.half).to_empty(device=bench.device)
    with torch.no_grad():
        for name, parameter in vae.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.6 * parameter[0].numel() ** -0.5)
            else:
                parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
    return vae
