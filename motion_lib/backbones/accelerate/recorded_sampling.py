"""Sampling as CUDA graphs: a small model, or a fast GPU, spends most of its time on launching kernels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...diffusion.denoiser import Denoiser
from ...method.patch import PreparedPatch
from .graphs import Graphed
from .training_modes import Plan, accelerated, faster, flat, free_memory, unflat

KEPT = 8  # recordings
ROOM = 4  # times the size of the weights must be free: recordings keep their memory


@contextmanager
def for_sampling(denoiser: Denoiser) -> Iterator[Denoiser]:
    """The same Denoiser for calls without gradients, as sampling and inversion make them, for as long as the context
    lasts: on a GPU in the faster pass, if it suits and its kernels can be compiled, and recorded where memory is
    plenty."""
    with accelerated(denoiser, plan := plan_sampling(denoiser)) as ready:
        yield RecordedDenoiser(ready) if plan.graphs else ready


def plan_sampling(denoiser: Any) -> Plan:
    """Whether to take the faster pass for calls without gradients, and whether to record them."""
    unet = getattr(denoiser, "unet", None)
    if unet is None or not faster(unet):
        return Plan("plain")
    weights = list(unet.parameters())
    free = free_memory(weights[0].device)
    return Plan("fast", graphs=free is not None and free >= ROOM * sum(weight.nbytes for weight in weights), free=free)


class RecordedDenoiser:
    """The same Denoiser, whose calls without gradients are recorded for each combination of shapes and patched layers
    and then replayed, for as long as the weights stay where they are. Hooks on the model are not seen: call the UNet
    itself where there are any."""

    def __init__(self, inner: Any):
        self.inner, self.schedule, self.backbone, self.unet = inner, inner.schedule, inner.backbone, inner.unet
        self.recordings: OrderedDict[Any, Graphed] = OrderedDict()
        self.addresses: list[int] = []

    def spatial_linears(self) -> Mapping[str, nn.Linear]:
        return self.inner.spatial_linears()

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Tensor, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        if torch.is_grad_enabled():
            return self.inner(latents, timesteps, conditioning, patches)
        keys, tensors = flat(patches)
        inputs = [latents, timesteps, conditioning, *tensors]
        signature = keys, *((x.shape, x.dtype) for x in inputs)
        addresses = [weight.data_ptr() for weight in self.unet.parameters()]
        if addresses != self.addresses:
            self.recordings.clear()
            self.addresses = addresses
        if signature not in self.recordings:

            def step(latents: Tensor, timesteps: Tensor, conditioning: Tensor, *tensors: Tensor) -> Tensor:
                return self.inner(latents, timesteps, conditioning, unflat(keys, tensors))

            while len(self.recordings) >= KEPT:
                self.recordings.popitem(last=False)
            self.recordings[signature] = Graphed(step, inputs)
        self.recordings.move_to_end(signature)
        return self.recordings[signature](*inputs)
