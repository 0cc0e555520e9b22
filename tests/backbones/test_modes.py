"""Training modes: every one computes what `plain` does, and leaves the model as it was."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest
import torch

from motion_lib.backbones.accelerate import recorded_sampling as recorded
from motion_lib.backbones.accelerate import training_modes as modes
from motion_lib.backbones.accelerate.abilities import Abilities
from motion_lib.backbones.accelerate.estimate import activation_bytes, without_data
from motion_lib.backbones.accelerate.frozen_layers import kernels_run
from motion_lib.backbones.accelerate.recorded_sampling import for_sampling, plan_sampling
from motion_lib.backbones.accelerate.training_modes import (
    MODES,
    Plan,
    accelerated,
    faster,
    flat,
    plan_training,
    unflat,
)
from motion_lib.backbones.unet3d.frozen_pass import RUNGS, FrozenPass
from motion_lib.diffusion.denoiser import Denoiser
from motion_lib.diffusion.inversion import invert
from motion_lib.diffusion.sampling import sample
from motion_lib.errors import MotionError
from motion_lib.method.embedding import MotionEmbedding
from motion_lib.method.patch import MotionPatch
from motion_lib.training.loop import train
from motion_lib.training.settings import TrainingSettings
from motion_lib.training.state import TrainingState
from tests.tiny import randn, random_embedding, text, tiny_backbone, tiny_denoiser, tiny_unet

CLIP = randn(1, 4, 3, 5, 6)


def trained(mode: str, loss: str = "mse", steps: int = 4) -> TrainingState:
    zeros = MotionEmbedding.zeros(tiny_backbone(), "all", 3, (5, 6))
    state = TrainingState.start(zeros, TrainingSettings(steps=steps, loss=loss), "cpu")
    plan = plan_training(tiny_denoiser(), mode, CLIP.shape, state.embedding)
    with accelerated(tiny_denoiser(), plan) as ready:
        for _ in train(ready, CLIP, text(), state):
            pass
    return state


@pytest.mark.parametrize("loss", ["mse", "hybrid"])
@pytest.mark.parametrize("mode", ["fast", "low_memory"])
def test_training_is_that_of_plain(mode: str, loss: str) -> None:
    """With the spatial LoRA's hooks on the model too. Adam's first steps have the size of the learning rate whatever
    the gradient's, so a rounding error can turn a value whose gradient is nearly 0."""
    ours, theirs = trained(mode, loss), trained("plain", loss)
    torch.testing.assert_close(ours.losses, theirs.losses, rtol=1e-4, atol=1e-6)
    for key, tensor in ours.embedding.tensors.items():
        away = (tensor - theirs.embedding.tensors[key]).detach().abs()
        assert away.median() < 1e-4 < theirs.embedding.tensors[key].abs().median()


def test_afterwards_the_model_is_as_it_was() -> None:
    denoiser = tiny_denoiser()
    before = denoiser(CLIP, torch.tensor([500]), text())
    weights = {k: (v.clone(), v.stride()) for k, v in denoiser.unet.state_dict().items()}
    plan = plan_training(denoiser, "low_memory", CLIP.shape, random_embedding(tiny_backbone()))
    with pytest.raises(KeyboardInterrupt), accelerated(denoiser, plan) as ready:
        ready(CLIP, torch.tensor([500]), text())
        raise KeyboardInterrupt
    assert torch.equal(denoiser(CLIP, torch.tensor([500]), text()), before)
    for key, value in denoiser.unet.state_dict().items():
        assert torch.equal(value, weights[key][0]) and value.stride() == weights[key][1]


@pytest.mark.parametrize(("free", "rung"), [(112, 0), (111, 1), (79, 2), (45, 3), (1, 3)])
def test_auto_takes_the_fastest_rung_that_fits(free: int, rung: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if on a GPU with this much free memory, of which 9 tenths may be used; the last rung where none fits."""
    needs = dict(zip(RUNGS, (100, 75, 50, 25), strict=True))
    monkeypatch.setattr(modes, "free_memory", lambda device: free * 2**30)
    monkeypatch.setattr(modes, "device_of", lambda unet: torch.device("cuda"))
    monkeypatch.setattr(
        modes, "training_bytes", lambda abilities, shape, embedding, plan: needs[plan.recompute] * 2**30
    )
    plan = plan_training(tiny_denoiser(), "auto", CLIP.shape, random_embedding(tiny_backbone()))
    assert plan.recompute == RUNGS[rung] and plan.graphs and plan.mode == ("fast" if rung == 0 else "low_memory")
    assert f"about {needs[RUNGS[rung]]}.0 GiB beside the model; {free}.0 GiB are free" in plan.describe()


def test_auto_leaves_other_devices_alone() -> None:
    plan = plan_training(tiny_denoiser(), "auto", CLIP.shape, random_embedding(tiny_backbone()))
    assert plan == Plan("plain") and plan.describe() == "Training mode plain."
    with accelerated(tiny_denoiser(), plan) as ready:
        assert ready is tiny_denoiser()


def test_sampling_and_inversion_take_the_faster_pass_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan_sampling(tiny_denoiser()) == Plan("plain")
    monkeypatch.setattr(modes, "device_of", lambda unet: torch.device("cuda"))
    monkeypatch.setattr("motion_lib.backbones.accelerate.frozen_layers.kernels_run", lambda device: False)
    assert plan_sampling(tiny_denoiser()) == Plan("plain")
    monkeypatch.setattr("motion_lib.backbones.accelerate.frozen_layers.kernels_run", lambda device: True)
    weights = sum(weight.nbytes for weight in tiny_denoiser().unet.parameters())
    for free, graphs in ((3 * weights, False), (5 * weights, True)):  # recordings keep their memory
        monkeypatch.setattr(recorded, "free_memory", lambda device, free=free: free)
        assert plan_sampling(tiny_denoiser()) == Plan("fast", graphs=graphs, free=free)
    assert plan_sampling(replace_unet(act_fn="gelu")) == Plan("plain")


def test_kernels_that_cannot_be_compiled_are_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gated_gelu(both: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC environment variable.")

    monkeypatch.setattr("motion_lib.backbones.accelerate.frozen_layers.TRITON", True)
    monkeypatch.setattr("motion_lib.backbones.accelerate.frozen_layers.gated_gelu", gated_gelu, raising=False)
    monkeypatch.setattr(torch, "zeros", lambda *size, **named: torch.empty(*size))
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    kernels_run.cache_clear()
    try:
        gpu = torch.device("cuda", 1)
        assert not faster(tiny_denoiser().abilities, gpu) and not faster(tiny_denoiser().abilities, gpu)
        (said,) = caplog.messages
        assert said.startswith("Triton's kernels do not run on cuda:1 (Failed to find C compiler. Please")
    finally:
        kernels_run.cache_clear()


def test_a_gpu_without_room_says_nothing_of_kernels(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*size: int, **named: object) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("motion_lib.backbones.accelerate.frozen_layers.TRITON", True)
    monkeypatch.setattr("motion_lib.backbones.accelerate.frozen_layers.gated_gelu", None, raising=False)
    monkeypatch.setattr(torch, "zeros", full)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    kernels_run.cache_clear()
    try:
        assert kernels_run(torch.device("cuda", 1)) and not caplog.messages
    finally:
        kernels_run.cache_clear()


def test_samples_and_noise_are_those_of_plain() -> None:
    denoiser, clip = tiny_denoiser(dtype=torch.float64), CLIP.double()
    patch = MotionPatch(random_embedding(denoiser.backbone, "all", 3, (5, 6), dtype=torch.float64), end=0.6)
    words, empty = text(dtype=torch.float64), torch.zeros_like(text(dtype=torch.float64))

    def made(ready: Denoiser, patches: list[MotionPatch]) -> torch.Tensor:
        noise = invert(ready, clip, empty, steps=3)
        return sample(ready, noise, words, unconditional=empty, guidance=3.0, steps=5, patches=patches)

    expected = made(denoiser, [patch])
    with accelerated(denoiser, Plan("fast")) as ready:
        torch.testing.assert_close(made(ready, [patch]), expected, rtol=1e-9, atol=1e-9)
    with for_sampling(denoiser) as ready:
        assert ready is denoiser
    assert (made(denoiser, []) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("recompute", RUNGS)
def test_bytes_without_data_are_those_with_data(recompute: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted on tensors of the CPU and on tensors without data, by the same operations."""
    monkeypatch.setattr("motion_lib.backbones.accelerate.frozen_layers.TRITON", False)
    denoiser, peaks = tiny_denoiser(), []
    for device, unet in (("cpu", denoiser.unet), ("meta", without_data(denoiser.unet, denoiser.unet))):
        patch = MotionPatch(random_embedding(tiny_backbone(), frames=4, size=(8, 8))).prepare(
            4, (8, 8), device, CLIP.dtype
        )
        keys, tensors = flat([patch])
        run = FrozenPass(unet, recompute)
        inputs = [randn(1, 4, 4, 8, 8).to(device), torch.tensor([500], device=device), text().to(device)]
        peaks.append(
            activation_bytes(
                lambda x, t, words, *m, run=run, keys=keys: run(x, t, words, unflat(keys, m)),
                [*inputs, *(t.detach().requires_grad_() for t in tensors)],
            )
        )
    assert peaks[1] == pytest.approx(peaks[0], rel=0.03) and peaks[0] > 100_000


def test_recomputing_saves_memory() -> None:
    embedding = random_embedding(tiny_backbone())
    able = tiny_denoiser().abilities
    needed = [modes.training_bytes(able, (1, 4, 3, 16, 16), embedding, Plan("", rung)) for rung in RUNGS]
    assert needed == sorted(needed, reverse=True) and len(set(needed)) == len(RUNGS)


def test_memory_is_counted_in_the_type_that_the_model_computes_with() -> None:
    """Which need not be that of its weights, where every layer casts them as it runs."""
    embedding, layer = random_embedding(tiny_backbone()), torch.nn.Linear(4, 4)
    layer.dtype = torch.float8_e4m3fn  # type: ignore[assignment]

    def squares(latents: torch.Tensor, at: torch.Tensor, words: torch.Tensor, patches: list) -> torch.Tensor:
        moved = [m for patch in patches for m in (*patch.query_key.values(), *patch.value.values())]
        return latents.square().square() * sum(m.square().sum() for m in moved)

    def needed(dtype: torch.dtype) -> int:
        able = Abilities("unet3d", layer, (5, 8), partial(lambda parts: squares), dtype=dtype)
        return modes.training_bytes(able, (1, 4, 3, 512, 512), embedding, Plan("plain"))

    learned = 4 * 4 * sum(t.numel() for t in embedding.tensors.values())
    single, half = needed(torch.float32), needed(torch.bfloat16)
    assert single - learned == pytest.approx(2 * (half - learned), rel=0.01)
    assert half > 2 * 4 * 3 * 512 * 512  # at least one tensor of the latents' size


def test_unknown_mode_and_unsuitable_model() -> None:
    embedding = random_embedding(tiny_backbone())
    with pytest.raises(MotionError, match="mode is 'turbo', but it must be one of auto, fast"):
        plan_training(tiny_denoiser(), "turbo", CLIP.shape, embedding)
    unlike = replace_unet(act_fn="gelu")
    assert plan_training(unlike, "auto", CLIP.shape, embedding).mode == "plain"
    with pytest.raises(
        MotionError,
        match="family unet3d cannot train in mode fast, because its activation is gelu: use mode auto or plain",
    ):
        plan_training(unlike, "fast", CLIP.shape, embedding)
    assert MODES[0] == "auto" and replace(Plan("plain"), mode="fast") == Plan("fast")


def replace_unet(**changes):
    from motion_lib.backbones.unet3d.denoiser import UNet3DDenoiser

    return UNet3DDenoiser(tiny_unet(**changes), tiny_denoiser().process)
