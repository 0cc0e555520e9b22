"""A differentiable function as two CUDA graphs: launching the thousands of kernels of a pass costs the host more time
than they take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any

import torch
from torch import Tensor

WARM_UP = 2  # calls before recording, in which libraries choose algorithms and kernels are compiled
_RECORDING = Lock()  # one at a time in a process, which may have a thread for every GPU


class Graphed:
    """`function(*tensors) -> tensor` recorded for the shapes of `inputs`, with the gradient of those that need one.

    The function may read other tensors, such as frozen weights, as long as they stay where they are in memory. Calling
    it copies its arguments in. What it returns is overwritten by the next call: the output by the next forward pass,
    gradients by the next backward pass, which must follow the forward pass it belongs to.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        inputs: Sequence[Tensor],
        try_algorithms: bool = False,
        pool: Any = None,
        warm_up: int = WARM_UP,
    ):
        """try_algorithms: cuDNN measures those of every convolution, which takes memory for a moment. pool: shared by
        recordings none of which reads what another has left there. warm_up: calls before recording; 0 after `rehearsed`
        of the same."""
        self.inputs = [x.detach().clone().requires_grad_(x.requires_grad) for x in inputs]
        self.learning = [x for x in self.inputs if x.requires_grad]
        kinds = {x.dtype for x in inputs}
        self.alike = [[i for i, x in enumerate(inputs) if x.dtype == kind] for kind in kinds]
        with torch.set_grad_enabled(bool(self.learning)), _measuring(try_algorithms), _RECORDING:
            self._warm_up(function, warm_up)
            self.forward = torch.cuda.CUDAGraph()
            with _capture(self.forward, inputs[0].device, pool):
                output = function(*self.inputs)
            self.output = output.detach()
            self.gradient = torch.zeros_like(output) if self.learning else None
            self.backward, self.gradients = torch.cuda.CUDAGraph(), ()
            if self.learning:
                with _capture(self.backward, inputs[0].device, self.forward.pool()):
                    self.gradients = torch.autograd.grad(output, self.learning, self.gradient)

    def _warm_up(self, function: Callable[..., Tensor], calls: int) -> None:
        device = self.inputs[0].device
        torch.cuda.synchronize(device)
        with torch.cuda.stream(_stream(device)):
            for _ in range(calls):
                output = function(*self.inputs)
                if self.learning:
                    torch.autograd.grad(output, self.learning, torch.zeros_like(output))
                del output
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()  # the recording has memory of its own

    def __call__(self, *inputs: Tensor) -> Tensor:
        return _Replay.apply(self, *inputs)


def rehearsed(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Tensor:
    """`function(*inputs)` without gradients, run where it will be recorded: libraries choose algorithms and make room
    for that stream, and kernels are compiled."""
    device = inputs[0].device
    stream, current = _stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        output = function(*inputs)
    current.wait_stream(stream)
    return output.clone()  # the other's memory belongs to the stream of recordings


@contextmanager
def _capture(graph: torch.cuda.CUDAGraph, device: torch.device, pool: Any) -> Iterator[None]:
    """What is launched inside becomes the graph. Other threads may use the GPU meanwhile, unless there are gradients,
    for which autograd has a thread of its own. An exception leaves the current stream what it was, which
    torch.cuda.graph alone does not."""
    watched = "global" if torch.is_grad_enabled() else "thread_local"
    with (
        torch.cuda.stream(torch.cuda.current_stream(device)),
        torch.cuda.graph(graph, pool=pool, stream=_stream(device), capture_error_mode=watched),
    ):
        yield


@lru_cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """Where recordings are made; one for all, because cuBLAS keeps a workspace for every stream that it has seen."""
    return torch.cuda.Stream(device)


@contextmanager
def _measuring(wanted: bool) -> Iterator[None]:
    """While inside, cuDNN takes what it measured to be fastest; not where PyTorch is asked to be deterministic."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or (wanted and not torch.are_deterministic_algorithms_enabled())
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, graphed: Graphed, *inputs: Tensor) -> Tensor:
        for alike in graphed.alike:  # one launch for all of a kind
            torch._foreach_copy_([graphed.inputs[i].detach() for i in alike], [inputs[i].detach() for i in alike])
        graphed.forward.replay()
        ctx.graphed = graphed
        return graphed.output.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        graphed: Graphed = ctx.graphed
        assert graphed.gradient is not None
        graphed.gradient.copy_(gradients[0])
        graphed.backward.replay()
        returned = iter(graphed.gradients)
        return None, *(next(returned).detach() if x.requires_grad else None for x in graphed.inputs)
