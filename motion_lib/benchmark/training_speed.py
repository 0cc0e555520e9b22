"""Training the same embedding in several ways: time and memory of a step, and the losses."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..backbones.accelerate.training_modes import Plan, accelerated, plan_training
from ..backbones.unet3d.denoiser import UNet3DDenoiser
from ..method.embedding import MotionEmbedding
from ..method.patch import PreparedPatch
from ..training.loop import train
from ..training.settings import TrainingSettings
from ..training.state import TrainingState
from .device_use import GIB, free, held, intervals, mark, peaks, reset_peak
from .full_size import random_denoiser, random_latents, random_text

WARM_UP = 5  # steps that are not timed


@dataclass(frozen=True)
class Shape:
    """What is trained on: a clip of this many frames and pixels, and which layers learn."""

    frames: int = 16
    width: int = 512
    height: int = 320
    sites: str = "deep"

    def __str__(self) -> str:
        return f"{self.frames} frames {self.width}×{self.height}, sites {self.sites}"


@dataclass
class Bench:
    """The machine and the model: at most one is loaded."""

    config: dict[str, Any]
    device: torch.device
    half: torch.dtype
    _loaded: tuple[torch.dtype, UNet3DDenoiser] | None = None

    def denoiser(self, dtype: torch.dtype) -> UNet3DDenoiser:
        if self._loaded is None or self._loaded[0] != dtype:
            self._loaded = None
            free()
            self._loaded = dtype, random_denoiser(self.config, self.device, dtype)
        return self._loaded[1]

    def clear(self) -> None:
        self._loaded = None
        free()

    def latents(self, shape: Shape, dtype: torch.dtype) -> Tensor:
        return random_latents(shape.frames, shape.width, shape.height, self.device, dtype)

    def text(self, dtype: torch.dtype, videos: int = 1) -> Tensor:
        return random_text(self.config, self.device, dtype, videos)

    def embedding_for(self, denoiser: UNet3DDenoiser, shape: Shape) -> MotionEmbedding:
        size = shape.height // 8, shape.width // 8
        return MotionEmbedding.zeros(denoiser.backbone, shape.sites, shape.frames, size)

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"


class Reference:
    """As published: weights in float32, computed under autocast to float16, every block checkpointed, diffusers' own
    forward pass."""

    def __init__(self, inner: UNet3DDenoiser, half: torch.dtype):
        self.inner, self.half, self.process, self.backbone = inner, half, inner.process, inner.backbone

    def spatial_linears(self) -> dict[str, nn.Linear]:
        return self.inner.spatial_linears()

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Tensor, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        unet = self.inner.unet
        blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
        for block in blocks:
            block.forward = partial(checkpoint, type(block).forward, block, use_reentrant=False)
        try:
            with torch.autocast(latents.device.type, self.half):
                return self.inner(latents, timesteps, conditioning, patches)
        finally:
            for block in blocks:
                del block.forward


@dataclass(frozen=True)
class Way:
    """One way to train: `open(denoiser, plan)` gives the Denoiser to train with."""

    name: str
    half: bool
    open: Callable[[UNet3DDenoiser, Plan], AbstractContextManager[Any]]
    mode: str = "plain"


def ways(half: torch.dtype) -> list[Way]:
    """All that are compared, the one whose losses are taken as true first."""

    @contextmanager
    def as_is(denoiser: UNet3DDenoiser, plan: Plan) -> Iterator[Any]:
        yield denoiser

    @contextmanager
    def as_published(denoiser: UNet3DDenoiser, plan: Plan) -> Iterator[Any]:
        yield Reference(denoiser, half)

    def without_graphs(denoiser: UNet3DDenoiser, plan: Plan) -> AbstractContextManager[Any]:
        return accelerated(denoiser, replace(plan, graphs=False))

    return [
        Way("float32", False, as_is),
        Way("reference-like", False, as_published),
        Way("plain", True, as_is),
        # First with graphs: cuDNN keeps what it chose for a shape, whether it measured or not.
        Way("fast", True, accelerated, "fast"),
        Way("fast without graphs", True, without_graphs, "fast"),
        Way("low_memory", True, accelerated, "low_memory"),
    ]


@dataclass
class Measured:
    """Milliseconds per step (median after warm-up); GiB at the peak with all there is, allocated to tensors and taken
    from the device; losses of all steps; seconds until the first step was done; GiB taken beside the model."""

    way: str
    shape: Shape
    ms: float
    allocated: float
    reserved: float
    losses: list[float]
    first: float
    plan: Plan
    beside_model: float = 0.0
    times: list[float] = field(default_factory=list)


def measure(bench: Bench, way: Way, shape: Shape, steps: int, plan: Plan | None = None) -> Measured:
    """Train for this many steps, from zeros, as a user would; the same seeds for every way."""
    dtype = bench.half if way.half else torch.float32
    denoiser = bench.denoiser(dtype)
    free()
    reset_peak(bench.device)
    _, before = held(bench.device)
    latents, text, embedding = bench.latents(shape, dtype), bench.text(dtype), bench.embedding_for(denoiser, shape)
    plan = plan or plan_training(denoiser, way.mode, latents.shape, embedding)
    state = TrainingState.start(embedding, TrainingSettings(steps=steps), bench.device)
    began, marks, first = time.perf_counter(), [], 0.0
    with way.open(denoiser, plan) as ready:
        for _ in train(ready, latents, text, state):
            marks.append(mark(bench.device))
            first = first or time.perf_counter() - began
        times = intervals(bench.device, marks)
        allocated, reserved = peaks(bench.device)
    del ready, latents, text
    losses, state = list(state.losses), None
    free()
    timed = times[min(WARM_UP, len(times) - 1) :]
    ms = statistics.median(timed) if timed else float("nan")
    return Measured(
        way.name, shape, ms, allocated / GIB, reserved / GIB, losses, first, plan, (reserved - before) / GIB, times
    )
