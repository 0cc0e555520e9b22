"""How to run a frozen model, above all while an embedding is trained: which of speed and memory to favour, and what it
needs.

    plan = plan_training(model.denoiser, "auto", latents.shape, embedding)
    print(plan.describe())
    with accelerated(model.denoiser, plan) as ready:
        for state in train(ready, latents, text, state): ...

Every mode gives the gradients of `plain`, which is the model as its library runs it, within rounding; afterwards the
model is as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...errors import MotionError
from ...method.patch import MotionPatch, PreparedPatch
from .abilities import Abilities, Able, AbleDenoiser

if TYPE_CHECKING:
    from ...method.embedding import MotionEmbedding

MODES = ("auto", "fast", "low_memory", "plain")
USABLE = 0.9  # of the free memory: the allocator cannot fill every gap
WORKSPACES = 50 * 2**20  # of cuBLAS, cuDNN and the kernels, in bytes


@dataclass(frozen=True)
class Plan:
    """recompute: parts computed again in the backward pass. graphs: record the passes as CUDA graphs. needed: bytes
    that training takes beside the loaded model; free: bytes there are. Both are None where they are not known."""

    mode: str
    recompute: tuple[str, ...] = ()
    graphs: bool = False
    needed: int | None = None
    free: int | None = None

    def describe(self) -> str:
        """One sentence for the user."""
        kept = f", computing {' and '.join(_WORDS[part] for part in self.recompute)} twice" if self.recompute else ""
        if self.needed is None:
            return f"Training mode {self.mode}{kept}."
        there = "" if self.free is None else f"; {self.free / 2**30:.1f} GiB are free"
        return f"Training mode {self.mode}{kept}: about {self.needed / 2**30:.1f} GiB beside the model{there}."


_WORDS = {
    "feed_forward": "feed-forward layers",
    "transformer": "attention",
    "convolution": "convolutions",
    "block": "blocks",
}


def plan_training(
    denoiser: Able,
    mode: str,
    shape: Sequence[int],
    embedding: MotionEmbedding,
    device: torch.device | None = None,
    free: int | None = None,
) -> Plan:
    """How to train `embedding` on latents of shape `[b, c, f, h, w]`, one clip a step.

    auto takes the fastest of what the family offers that the free memory of a GPU allows, and plain on other devices.
    device, free: where the model will be and how many bytes beside it, if that is not where it is now and what is free
    there now. Raises MotionError for an unknown mode, or one that the family does not offer.
    """
    if mode not in MODES:
        raise MotionError(f"mode is '{mode}', but it must be one of {', '.join(MODES)}.")
    abilities = denoiser.abilities
    abilities.check(mode)
    device = device or device_of(abilities.network)
    on_gpu = device.type == "cuda"
    if mode == "plain" or (mode == "auto" and not (abilities.rungs and on_gpu)):
        return Plan("plain")
    fastest = "fast" if abilities.fast else "plain"
    plans = [Plan("low_memory" if rung else fastest, rung, abilities.fast and on_gpu) for rung in abilities.rungs]
    chosen = {"auto": plans, "fast": plans[:1], "low_memory": plans[-1:]}[mode]
    free = free_memory(device) if free is None else free
    for plan in chosen:
        plan = replace(plan, needed=training_bytes(abilities, shape, embedding, plan), free=free)
        if free is None or (plan.needed or 0) <= USABLE * free:
            return plan
    return plan


def faster(abilities: Abilities, device: torch.device | None = None) -> bool:
    """Whether there is a pass that is faster where the model is, or will be: on GPUs for which kernels can be
    compiled."""
    from .frozen_layers import kernels_run

    device = device or device_of(abilities.network)
    return device.type == "cuda" and abilities.fast and kernels_run(device)


def device_of(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def free_memory(device: torch.device) -> int | None:
    """Bytes that this process can still take on a GPU: what is free, and what its own allocator holds unused."""
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    reserved = torch.cuda.memory_reserved(device)
    number = torch.cuda.current_device() if device.index is None else device.index
    fraction = getattr(torch.cuda, "get_per_process_memory_fraction", lambda device: 1.0)(number)  # since PyTorch 2.8
    return min(free, int(total * fraction) - reserved) + reserved - torch.cuda.memory_allocated(device)


def training_bytes(abilities: Abilities, shape: Sequence[int], embedding: MotionEmbedding, plan: Plan) -> int:
    """What training holds at its peak beside the loaded model, found by running a step on tensors without data.

    shape: `[b, c, f, h, w]` of the latents as the network takes them, of which only c, f, h and w count.
    """
    from .estimate import activation_bytes, norm_is_fused, without_data

    dtype = abilities.dtype or abilities.network.dtype
    empty = embedding.with_tensors({k: t.detach().to("meta") for k, t in embedding.tensors.items()})
    _, channels, frames, height, width = shape
    patch = MotionPatch(empty).prepare(frames, (height, width), "meta", dtype)
    keys, tensors = flat([patch.each(lambda m: m.detach().requires_grad_())])
    run = without_data(abilities, abilities.network).run(plan.recompute)
    inputs = [
        torch.empty(1, channels, frames, height, width, device="meta", dtype=dtype),
        torch.empty(1, device="meta", dtype=torch.long),
        torch.empty(1, *abilities.text, device="meta", dtype=dtype),
    ]
    activations = activation_bytes(
        lambda latents, at, text, *tensors: run(latents, at, text, unflat(keys, tensors)),
        [*inputs, *tensors],
        norm_is_fused(device_of(abilities.network), dtype),
    )
    # Learned tensors in float32 with gradient and two moments; as the model sees them, again where graphs read them.
    learned = 4 * 4 * sum(t.numel() for t in embedding.tensors.values())
    seen = sum(t.nbytes for t in tensors) * (2 if plan.graphs else 1)
    return activations + learned + seen + (WORKSPACES if plan.graphs else 0)


@contextmanager
def accelerated(denoiser: AbleDenoiser, plan: Plan) -> Iterator[AbleDenoiser]:
    """A Denoiser that computes the same as planned, for as long as the context lasts."""
    if plan.mode == "plain":
        yield denoiser
        return
    network, weights = denoiser.abilities.network, []
    if denoiser.abilities.fast and device_of(network).type == "cuda":
        convolutions = (m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Conv3d))
        weights = [m.weight for m in convolutions if m.weight.is_contiguous()]
    if weights:
        _lay_out(weights, _channels_last)
    try:
        yield AcceleratedDenoiser(denoiser, plan)
    finally:
        if weights:
            _lay_out(weights, Tensor.contiguous)


def _lay_out(weights: Sequence[Tensor], layout: Callable[[Tensor], Tensor]) -> None:
    """The same values in another order, without room for two models. What the allocator keeps unused is given back
    first: a weight that came to lie in the middle of it would hold all of it."""
    torch.cuda.empty_cache()
    for weight in weights:
        weight.data = layout(weight.data)
    torch.cuda.empty_cache()


def _channels_last(weight: Tensor) -> Tensor:
    """A 3×1×1 convolution is run as a 3×1 one."""
    if weight.ndim == 4:
        return weight.contiguous(memory_format=torch.channels_last)
    return weight.squeeze(-1).contiguous(memory_format=torch.channels_last).unsqueeze(-1)


class AcceleratedDenoiser:
    """Runs the pass that its family offers, and as CUDA graphs what training repeats: calls with learning patches, in
    the shapes of the first of them. Other calls, and those while hooks such as a LoRA's are on the model, are run as
    they come."""

    def __init__(self, inner: AbleDenoiser, plan: Plan):
        self.process, self.backbone, self.abilities, self.plan = inner.process, inner.backbone, inner.abilities, plan
        self.run, self.linears, self.graphed = self.abilities.run(plan.recompute), inner.spatial_linears(), None
        self.recorded: tuple[Any, ...] = ()

    def spatial_linears(self) -> Mapping[str, nn.Linear]:
        return self.linears

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Tensor, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        keys, tensors = flat(patches)
        learning = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
        hooked = any(layer._forward_hooks for layer in self.linears.values())
        if not self.plan.graphs or not learning or hooked:
            return self.run(latents, timesteps, conditioning, patches)
        inputs = [latents, timesteps, conditioning, *tensors]
        signature = keys, *((x.shape, x.dtype, x.requires_grad) for x in inputs)
        if self.graphed is None:
            from .graphs import Graphed

            def step(latents: Tensor, timesteps: Tensor, conditioning: Tensor, *tensors: Tensor) -> Tensor:
                return self.run(latents, timesteps, conditioning, unflat(keys, tensors))

            self.graphed = Graphed(step, inputs, try_algorithms=not self.plan.recompute)
            self.recorded = signature
        if signature != self.recorded:
            return self.run(latents, timesteps, conditioning, patches)
        return self.graphed(*inputs)


Keys = tuple[tuple[tuple[Any, ...], tuple[Any, ...], str, str], ...]


def flat(patches: Sequence[PreparedPatch]) -> tuple[Keys, list[Tensor]]:
    """The tensors of patches, and what else they are."""
    keys = tuple((tuple(patch.query_key), tuple(patch.value), patch.integration, patch.expert) for patch in patches)
    return keys, [m for patch in patches for m in (*patch.query_key.values(), *patch.value.values())]


def unflat(keys: Keys, tensors: Sequence[Tensor]) -> list[PreparedPatch]:
    rest = iter(tensors)
    return [
        PreparedPatch({key: next(rest) for key in query_key}, {key: next(rest) for key in value}, *how)
        for query_key, value, *how in keys
    ]
