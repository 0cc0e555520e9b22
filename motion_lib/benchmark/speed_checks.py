"""Whether the fast paths are right on this machine: a list of checks, each passed or failed with its number."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..backbones.accelerate.recorded_sampling import for_sampling
from ..backbones.accelerate.training_modes import Plan, accelerated, plan_training
from ..backbones.unet3d.denoiser import UNet3DDenoiser
from ..backbones.unet3d.frozen_pass import RUNGS
from ..method.embedding import MotionEmbedding
from ..method.patch import MotionPatch
from ..training.loop import train
from ..training.settings import TrainingSettings
from ..training.state import TrainingState
from .device_use import GIB, free
from .training_speed import Bench, Shape, Way, measure

GRADIENT_TOLERANCE = 0.02  # ‖g − g₃₂‖ / ‖g₃₂‖ in half precision
ESTIMATE_TOLERANCE = 0.10


@dataclass(frozen=True)
class Check:
    name: str
    passed: bool
    found: str


def checks(bench: Bench, shape: Shape, long_run: int) -> Iterator[Check]:
    """Every check as soon as it is done."""
    yield from _gradients(bench, shape)
    yield from _predictions(bench, shape)
    yield _left_as_found(bench, shape)
    if bench.on_gpu:
        yield from _estimates(bench, shape)
    if long_run:
        yield from _long_run(bench, shape, long_run)


def _gradients(bench: Bench, shape: Shape) -> Iterator[Check]:
    """The gradients of one step at a random embedding, against float32 and diffusers' pass."""
    true = _gradient(bench, shape, torch.float32, Plan("plain"))
    plain = None
    for plan in [Plan("plain"), *(Plan("fast", rung, graphs) for rung in RUNGS for graphs in _graphs(bench))]:
        found = _gradient(bench, shape, bench.half, plan)
        error = float((found - true).norm() / true.norm())
        plain = error if plain is None else plain
        passed = error < max(GRADIENT_TOLERANCE, 1.5 * plain)
        how = f"recomputing {len(plan.recompute)} parts{', graphs' if plan.graphs else ''}" if plan.recompute else ""
        name = f"gradient {plan.mode} {how or ('with graphs' if plan.graphs else '')}".strip()
        yield Check(name, passed, f"{error:.2%} from float32 (plain {plain:.2%})")


def _graphs(bench: Bench) -> tuple[bool, ...]:
    return (False, True) if bench.on_gpu else (False,)


def _gradient(bench: Bench, shape: Shape, dtype: torch.dtype, plan: Plan) -> Tensor:
    denoiser = bench.denoiser(dtype)
    latents, text = bench.latents(shape, dtype), bench.text(dtype)
    live = _live(bench, denoiser, shape)
    target = torch.randn(latents.shape, generator=torch.Generator().manual_seed(4)).to(bench.device)
    size = latents.shape[3], latents.shape[4]
    with accelerated(denoiser, plan) as ready:
        patch = MotionPatch(live).prepare(shape.frames, size, bench.device, dtype)
        at = torch.tensor([600], device=bench.device)
        prediction = ready(latents, at, text, [patch])
        # Scaled as in training, so that nothing vanishes in half precision.
        (prediction.float() - target).square().sum().div(8).backward()
        return torch.cat([t.grad.flatten() for t in live.tensors.values() if t.grad is not None])


def _live(bench: Bench, denoiser: UNet3DDenoiser, shape: Shape) -> MotionEmbedding:
    zeros, generator = bench.embedding_for(denoiser, shape), torch.Generator().manual_seed(5)
    drawn = {k: 0.05 * torch.randn(t.shape, generator=generator) for k, t in zeros.tensors.items()}
    return zeros.with_tensors({k: t.to(bench.device).requires_grad_() for k, t in drawn.items()})


def _predictions(bench: Bench, shape: Shape) -> Iterator[Check]:
    """Predictions for sampling, unpatched and patched, each for several latents so that recordings are replayed."""
    denoiser, text = bench.denoiser(bench.half), bench.text(bench.half, 2)
    size = shape.height // 8, shape.width // 8
    patch = MotionPatch(_live(bench, denoiser, shape).detached()).prepare(shape.frames, size, bench.device, bench.half)
    clip = bench.latents(shape, bench.half)
    with torch.no_grad():
        calls = [
            (torch.cat([clip, factor * clip]), torch.tensor([at, at], device=bench.device), text, patches)
            for factor, at in ((0.3, 900), (0.6, 500), (0.9, 20))
            for patches in ((), (patch,))
        ]
        true = torch.stack([denoiser(*call) for call in calls]).float()
        with for_sampling(denoiser) as ready:
            found = torch.stack([ready(*call) for call in calls]).float()
    error = float((found - true).norm() / true.norm())
    yield Check("predictions while sampling", error < GRADIENT_TOLERANCE, f"{error:.2%} from diffusers' pass")


def _left_as_found(bench: Bench, shape: Shape) -> Check:
    """The plain prediction before and after a fast step, bit for bit."""
    denoiser, at = bench.denoiser(bench.half), torch.tensor([600], device=bench.device)
    latents, text = bench.latents(shape, bench.half), bench.text(bench.half)
    before, _, after = (
        denoiser(latents, at, text).detach(),
        _gradient(bench, shape, bench.half, Plan("fast", RUNGS[-1], bench.on_gpu)),
        denoiser(latents, at, text).detach(),
    )
    same = torch.equal(before, after)
    return Check("the model is as it was", same, "equal bit for bit" if same else "predictions differ")


def _estimates(bench: Bench, shape: Shape) -> Iterator[Check]:
    for rung in RUNGS:
        denoiser = bench.denoiser(bench.half)
        embedding = bench.embedding_for(denoiser, shape)
        plan = Plan("fast", rung, True)
        needed = _needed(denoiser, bench, shape, embedding, plan)
        found = measure(bench, Way("estimate", True, accelerated), shape, 6, plan).beside_model
        away = needed / found - 1
        name = f"memory estimate, recomputing {len(rung)} parts"
        yield Check(name, abs(away) <= ESTIMATE_TOLERANCE, f"{needed:.2f} GiB for {found:.2f} ({away:+.1%})")


def _needed(denoiser: UNet3DDenoiser, bench: Bench, shape: Shape, embedding: MotionEmbedding, plan: Plan) -> float:
    from ..backbones.accelerate.training_modes import training_bytes

    return training_bytes(denoiser.abilities, bench.latents(shape, bench.half).shape, embedding, plan) / GIB


def _long_run(bench: Bench, shape: Shape, steps: int) -> Iterator[Check]:
    """A whole training in mode fast, from the loaded model on."""
    denoiser = bench.denoiser(bench.half)
    latents, text = bench.latents(shape, bench.half), bench.text(bench.half)
    free()
    began = time.perf_counter()
    embedding = bench.embedding_for(denoiser, shape)
    state = TrainingState.start(embedding, TrainingSettings(steps=steps), bench.device)
    plan = plan_training(denoiser, "fast", latents.shape, embedding)
    with accelerated(denoiser, plan) as ready:
        for _ in train(ready, latents, text, state):
            pass
    seconds = time.perf_counter() - began
    learned = state.embedding.tensors.values()
    finite = all(map(math.isfinite, state.losses)) and all(bool(t.isfinite().all()) for t in learned)
    yield Check(f"{steps} steps without NaN", finite, f"last loss {state.losses[-1]:.4f}")
    yield Check(f"{steps} steps in under 60 s", seconds < 60, f"{seconds:.1f} s with warm-up")
