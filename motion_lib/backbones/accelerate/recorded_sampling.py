"""Sampling as CUDA graphs: a small model, or a fast GPU, spends most of its time on launching kernels."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...method.patch import PreparedPatch
from .abilities import AbleDenoiser
from .graphs import Graphed, rehearsed
from .training_modes import Plan, accelerated, faster, flat, free_memory, unflat

KEPT = 8  # recordings
ROOM = 4  # times the size of the weights must be free: recordings keep their memory


@contextmanager
def for_sampling(denoiser: AbleDenoiser) -> Iterator[AbleDenoiser]:
    """The same Denoiser for calls without gradients, as sampling and inversion make them, for as long as the context
    lasts: on a GPU in the faster pass, if the family has one and its kernels can be compiled, and recorded where
    memory is plenty."""
    with accelerated(denoiser, plan := plan_sampling(denoiser)) as ready:
        yield RecordedDenoiser(ready) if plan.graphs else ready


def plan_sampling(denoiser: AbleDenoiser) -> Plan:
    """Whether to take the faster pass for calls without gradients, and whether to record them."""
    if not faster(denoiser.abilities):
        return Plan("plain")
    weights = list(denoiser.abilities.network.parameters())
    free = free_memory(weights[0].device)
    return Plan("fast", graphs=free is not None and free >= ROOM * sum(weight.nbytes for weight in weights), free=free)


class RecordedPass:
    """`run(latents, timesteps, conditioning, patches)` for calls without gradients. The first call of a combination of
    shapes and patched layers is run as it comes, the second is recorded, and those after it replay the recording, for
    as long as the weights stay where they are: what is written to the same place is read by the next call.

    Recordings share their memory, so that all of them together hold what the largest call needs. `weights` gives what
    `run` reads. `room(latents)` is asked before memory is taken: calls that find none are run as they come. Hooks on
    the model are not seen: call `run` itself where there are any.
    """

    def __init__(
        self,
        run: Callable[..., Tensor],
        weights: Callable[[], Iterable[Tensor]],
        room: Callable[[Tensor], bool] = lambda latents: True,
    ):
        self.run, self.weights, self.room, self._works = run, weights, room, True
        self.addresses: list[int] = []
        self._forget()

    def _forget(self) -> None:
        self.met: set[Any] = set()
        self.recordings: OrderedDict[Any, Graphed] = OrderedDict()
        self.pool: Any = None

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Tensor, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        keys, tensors = flat(patches)
        inputs = [latents, timesteps, conditioning, *tensors]
        signature = keys, *((x.shape, x.dtype) for x in inputs)
        addresses = [weight.data_ptr() for weight in self.weights()]
        if addresses != self.addresses:
            self._forget()
            self.addresses = addresses
        if signature in self.recordings:
            self.recordings.move_to_end(signature)
            return self.recordings[signature](*inputs)

        def step(latents: Tensor, timesteps: Tensor, conditioning: Tensor, *tensors: Tensor) -> Tensor:
            return self.run(latents, timesteps, conditioning, unflat(keys, tensors))

        if not self._works or not self.room(latents):
            return step(*inputs)
        if signature not in self.met:
            self.met.add(signature)
            return rehearsed(step, inputs)
        recording = self._record(step, inputs)
        if recording is None:
            return step(*inputs)
        while len(self.recordings) >= KEPT:
            self.recordings.popitem(last=False)
        self.met.discard(signature)
        self.recordings[signature] = recording
        return recording(*inputs)

    def _record(self, step: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Graphed | None:
        """None, and no further attempt, where memory or a driver does not let it succeed."""
        self.pool = self.pool or torch.cuda.graph_pool_handle()
        try:
            # What is made in inference mode could not be written to outside of it.
            with torch.inference_mode(False), torch.no_grad():
                return Graphed(step, inputs, pool=self.pool, warm_up=0)
        except RuntimeError as error:
            self._works = False
            reason = " ".join(str(error).split())[:200]
            logging.getLogger(__name__).warning(
                "Sampling is not recorded as CUDA graphs (%s): it may take longer.", reason
            )
            return None


class RecordedDenoiser:
    """The same Denoiser, whose calls without gradients are recorded and replayed (see RecordedPass)."""

    def __init__(self, inner: AbleDenoiser):
        self.inner, self.process, self.backbone, self.abilities = inner, inner.process, inner.backbone, inner.abilities
        self.recorded = RecordedPass(inner, self.abilities.network.parameters)

    def spatial_linears(self) -> Mapping[str, nn.Linear]:
        return self.inner.spatial_linears()

    def __call__(
        self, latents: Tensor, timesteps: Tensor, conditioning: Tensor, patches: Sequence[PreparedPatch] = ()
    ) -> Tensor:
        run = self.inner if torch.is_grad_enabled() else self.recorded
        return run(latents, timesteps, conditioning, patches)
