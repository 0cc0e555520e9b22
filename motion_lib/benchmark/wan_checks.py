"""Whether training and sampling on Wan are right on this machine: a list of checks, each passed or failed with its
number."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from ..backbones.accelerate.training_modes import Plan, accelerated
from ..backbones.wan.denoiser import WanDenoiser
from ..diffusion.sampling import random_noise, sample
from ..method.embedding import MotionEmbedding
from ..method.patch import MotionPatch
from ..training.loop import train
from ..training.state import TrainingState
from .device_use import free
from .speed_checks import Check
from .wan_attention_speed import attention_checks
from .wan_full_size import PRESET, WanBench, WanShape
from .wan_training_speed import LOW_MEMORY, PLAIN, plan_of

# ‖g − g'‖ / ‖g'‖ of gradients.
EXACT = 1e-4  # in float32, of which two ways may differ by the order of sums
HALF = 0.1  # bfloat16 against float32: a value has 8 bits
TWICE = 0.02  # bfloat16 computed again against bfloat16 kept
FEW = 6  # blocks, of the real width
SHORT = WanShape(17, 416, 240)
BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32}  # of values of so many bytes


def checks(bench: WanBench, shape: WanShape) -> Iterator[Check]:
    """Every check as soon as it is done; one that runs out of memory has failed and says so."""
    for name, found in (
        ("gradients of a few blocks", lambda: _few_blocks(bench, _smaller(shape))),
        ("gradients of all blocks", lambda: _all_blocks(bench, _smaller(shape))),
        ("what is kept", lambda: _kept(bench, _smaller(shape))),
        ("the model is as it was", lambda: _left_as_found(bench, shape)),
        ("attention", lambda: attention_checks(bench, shape)),
    ):
        yield from _with_memory(name, found)


def _with_memory(name: str, found: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    enough = True
    try:
        yield from found()
    except torch.cuda.OutOfMemoryError:
        enough = False
    free()  # outside of the handler, which holds what the check held
    if not enough:
        yield Check(name, False, "out of memory")


def _smaller(shape: WanShape) -> WanShape:
    return shape if shape.tokens < SHORT.tokens else SHORT


def _few_blocks(bench: WanBench, shape: WanShape) -> Iterator[Check]:
    single = _gradient(few := bench.of_blocks(FEW, torch.float32), PLAIN, shape)
    again = _gradient(few, LOW_MEMORY, shape)
    few.clear()
    yield _compared(f"gradient in float32 of {FEW} blocks, computed again", again, single, EXACT)
    few = bench.of_blocks(FEW, bench.dtype)
    half = _gradient(few, LOW_MEMORY, shape)
    few.clear()
    yield _compared(f"gradient in bfloat16 of {FEW} blocks, off float32", half, single, HALF)


def _all_blocks(bench: WanBench, shape: WanShape) -> Iterator[Check]:
    kept = _gradient(bench, PLAIN, shape)
    yield _compared("gradient in bfloat16, computed again", _gradient(bench, LOW_MEMORY, shape), kept, TWICE)
    yield _compared("gradient in bfloat16, kept twice over", _gradient(bench, PLAIN, shape), kept, TWICE)


def _compared(name: str, found: Tensor, true: Tensor, tolerance: float) -> Check:
    error = float((found - true).norm() / true.norm())
    return Check(name, error <= tolerance, f"{error:.2e} apart, at most {tolerance:g}")


def _gradient(bench: WanBench, way: str, shape: WanShape) -> Tensor:
    """All gradients of one step at a random embedding, in one row."""
    denoiser = bench.denoiser()
    live = _live(bench, denoiser, shape)
    with accelerated(denoiser, plan_of(way, denoiser)) as ready:
        _backward(bench, ready, shape, live)
    return torch.cat([t.grad.flatten() for t in live.tensors.values() if t.grad is not None])


def _live(bench: WanBench, denoiser: WanDenoiser, shape: WanShape) -> MotionEmbedding:
    drawn = bench.drawn(denoiser, shape)
    return drawn.with_tensors({key: t.requires_grad_() for key, t in drawn.tensors.items()})


def _backward(bench: WanBench, ready: Any, shape: WanShape, live: MotionEmbedding) -> None:
    latents = bench.clip(shape)
    *_, frames, height, width = shape.latents
    patch = MotionPatch(live).prepare(frames, (height, width), bench.device, bench.dtype)
    prediction = ready(latents, torch.tensor([900.0], device=bench.device), bench.text(), [patch])
    (prediction.float() - latents.float()).square().sum().div(8).backward()


def _kept(bench: WanBench, shape: WanShape) -> Iterator[Check]:
    """Below the first patched block nothing is kept for the backward pass."""
    denoiser = bench.denoiser()
    live, below, count = _live(bench, denoiser, shape), [True], [0, 0]
    first: nn.Module = denoiser.network.get_submodule(live.layers[0])

    def pack(x: Tensor) -> Tensor:
        count[0 if below[0] else 1] += 1
        return x

    def begins(*given: Any) -> None:
        below[0] = False

    hook = first.register_forward_pre_hook(begins)
    # The patch is prepared before the model is called, with tensors that are kept: only what blocks keep counts.
    entered = denoiser.network.blocks[0].register_forward_pre_hook(lambda *given: count.__setitem__(0, 0))
    try:
        with saved_tensors_hooks(pack, lambda x: x):
            _backward(bench, denoiser, shape, live)
    finally:
        hook.remove()
        entered.remove()
    passed = count[0] == 0 < count[1]
    yield Check("nothing is kept below the first patched block", passed, f"{count[0]} tensors below, {count[1]} above")


def _left_as_found(bench: WanBench, shape: WanShape) -> Iterator[Check]:
    """Weights and unpatched prediction before and after training and sampling with a motion, bit for bit."""
    denoiser = bench.denoiser()
    latents, text = bench.clip(shape), bench.text(2)
    weights, before = digest(denoiser.network), _prediction(bench, denoiser, latents, text)
    state = TrainingState.start(bench.empty(denoiser, shape), replace(PRESET.settings, steps=2), bench.device)
    plan: Plan = plan_of(LOW_MEMORY, denoiser)
    with accelerated(denoiser, plan) as ready:
        for _ in train(ready, latents, text[:1], state):
            pass
    patch, noise = MotionPatch(bench.drawn(denoiser, shape)), random_noise(latents.shape, 0, latents)
    sample(denoiser, noise, text[:1], unconditional=text[1:], guidance=5.0, steps=1, patches=[patch])
    same = digest(denoiser.network) == weights
    yield Check("weights after training and sampling", same, f"digest {weights[:12]}" if same else "another digest")
    same = torch.equal(_prediction(bench, denoiser, latents, text), before)
    yield Check("unpatched output afterwards", same, "equal bit for bit" if same else "predictions differ")


@torch.no_grad()
def _prediction(bench: WanBench, denoiser: WanDenoiser, latents: Tensor, text: Tensor) -> Tensor:
    return denoiser(latents, torch.tensor([600.0], device=bench.device), text[:1])


@torch.no_grad()
def digest(network: nn.Module) -> str:
    """Of all bits of all weights, summed up on the device: every value times an odd number of its own, modulo 2⁶⁴, so
    that no single value can change unseen."""
    sums = []
    for weight in network.parameters():
        bits = weight.detach().contiguous().flatten().view(BITS[weight.element_size()])
        total = torch.zeros((), dtype=torch.int64, device=weight.device)
        for part, values in enumerate(bits.split(2**24)):
            places = torch.arange(len(values), device=weight.device) + part * 2**24
            total += (values.long() * (places * 0x9E3779B97F4A7C1 + places % 2**31 * 2 + 1 | 1)).sum()
        sums.append(total)
    return hashlib.sha256(str(torch.stack(sums).tolist()).encode()).hexdigest()
