"""When calls are recorded and when a recording may be replayed. Recording itself needs a GPU: a stand-in remembers
where the weights lay, as a CUDA graph does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from motion_lib.backbones.accelerate import recorded_sampling as recorded
from motion_lib.backbones.accelerate.recorded_sampling import KEPT, RecordedDenoiser, RecordedPass
from motion_lib.method.patch import MotionPatch, PreparedPatch
from tests.tiny import randn, random_embedding, text, tiny_backbone, tiny_denoiser

TIME = torch.tensor([500])


class Weights:
    """A layer, and how it was called: as it came, on the stream of recordings, recorded, or replayed."""

    def __init__(self) -> None:
        self.weight, self.log = randn(4, 4, seed=9), []

    def __call__(self, latents: Tensor, timesteps: Tensor, words: Tensor, patches: Sequence[PreparedPatch]) -> Tensor:
        self.log.append("run")
        return latents @ self.weight + sum(m.sum() for patch in patches for m in patch.value.values())


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Weights]:
    layer = Weights()

    def rehearsed(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Tensor:
        out = function(*inputs)
        layer.log[-1] = "rehearsed"
        return out

    class Graphed:
        def __init__(self, function: Callable[..., Tensor], inputs: Sequence[Tensor], **given: Any):
            assert given == {"pool": "shared", "warm_up": 0} and not torch.is_inference_mode_enabled()
            self.function, self.where = function, layer.weight.data_ptr()
            layer.log.append("recorded")

        def __call__(self, *inputs: Tensor) -> Tensor:
            assert layer.weight.data_ptr() == self.where
            out = self.function(*inputs)
            layer.log[-1] = "replayed"
            return out

    monkeypatch.setattr(recorded, "rehearsed", rehearsed)
    monkeypatch.setattr(recorded, "Graphed", Graphed)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "shared")
    yield layer


def called(run: RecordedPass, layer: Weights, *shape: int, patches: Sequence[PreparedPatch] = ()) -> str:
    """How a call was computed; what it gives is what the layer gives."""
    x, before = randn(*(shape or (1, 4, 2, 3, 4))), len(layer.log)
    with torch.inference_mode():
        found = run(x, TIME, text(), patches)
        how = " ".join(layer.log[before:])
        assert torch.equal(found, layer(x, TIME, text(), patches))
    return how


def test_the_second_call_of_a_kind_is_recorded(layer: Weights) -> None:
    run = RecordedPass(layer, lambda: [layer.weight])
    assert [called(run, layer) for _ in range(4)] == ["rehearsed", "recorded replayed", "replayed", "replayed"]
    assert [called(run, layer, 2, 4, 2, 3, 4) for _ in range(2)] == ["rehearsed", "recorded replayed"]
    patch = MotionPatch(random_embedding(tiny_backbone())).prepare(3, (5, 6), "cpu", torch.float32)
    assert [called(run, layer, patches=[patch]) for _ in range(2)] == ["rehearsed", "recorded replayed"]
    assert called(run, layer, patches=[patch.scaled(0.5)]) == called(run, layer) == "replayed"


def test_weights_that_have_moved_are_recorded_anew_and_changed_ones_are_read(layer: Weights) -> None:
    run = RecordedPass(layer, lambda: [layer.weight])
    for _ in range(3):
        called(run, layer)
    layer.weight.mul_(2)
    assert called(run, layer) == "replayed"
    held, layer.weight = layer.weight, layer.weight.clone()
    assert [called(run, layer) for _ in range(2)] == ["rehearsed", "recorded replayed"]
    assert held.data_ptr() != layer.weight.data_ptr()


def test_without_room_calls_are_run_as_they_come(layer: Weights) -> None:
    room = [False, False, True, True, True]
    run = RecordedPass(layer, lambda: [layer.weight], lambda latents: latents.ndim == 5 and room.pop(0))
    found = [called(run, layer) for _ in range(6)]
    assert found == ["run", "run", "rehearsed", "recorded replayed", "replayed", "replayed"] and room == [True]


def test_what_cannot_be_recorded_is_said_once_and_computed(
    layer: Weights, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*given: Any, **named: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(recorded, "Graphed", full)
    run = RecordedPass(layer, lambda: [layer.weight])
    assert [called(run, layer) for _ in range(4)] == ["rehearsed", "run", "run", "run"]
    (said,) = caplog.messages
    assert said == "Sampling is not recorded as CUDA graphs (CUDA out of memory.): it may take longer."


def test_only_so_many_recordings_are_kept(layer: Weights) -> None:
    run = RecordedPass(layer, lambda: [layer.weight])
    for frames in range(1, KEPT + 2):
        for _ in range(2):
            called(run, layer, 1, 4, frames, 3, 4)
    assert len(run.recordings) == KEPT
    assert called(run, layer, 1, 4, KEPT + 1, 3, 4) == "replayed" and called(run, layer, 1, 4, 1, 3, 4) == "rehearsed"


def test_gradients_are_not_recorded() -> None:
    denoiser, x = tiny_denoiser(), randn(1, 4, 3, 5, 6).requires_grad_()
    ready = RecordedDenoiser(denoiser)
    ready(x, TIME, text()).sum().backward()
    assert x.grad is not None and not ready.recorded.met
