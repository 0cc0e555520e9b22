"""Training and sampling at full size inside ComfyUI, for docs/performance.md: time and memory of a step, what that does
to the host's other models, and whether the weights are the same bits afterwards.

    python tests/comfyui/inside/speed.py COMFYUI_FOLDER BASE_FOLDER --host [ComfyUI's own arguments]

Run by ComfyUI's Python. `--host --cpu` tries everything on a small model; its times mean nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from comfy_process import largest, pack  # isort: skip  starts ComfyUI
import comfy.model_management as management
import comfy.model_patcher
import comfy.sample
import comfy.supported_models
import torch
from torch import nn

DEVICE = management.get_torch_device()
ON_GPU = DEVICE.type == "cuda"
FRAMES, WIDTH, HEIGHT = (16, 512, 320) if ON_GPU else (4, 64, 64)
SITES = "deep"
STEPS, WARM_UP = (40, 10) if ON_GPU else (3, 1)
SAMPLING_STEPS, REPEATS = (20, 1) if ON_GPU else (2, 1)
GIB = 2**30


def motion_model() -> Any:
    """A MODEL of the real size with random weights, loaded as the node loads one."""
    full, hosted = pack("motion_lib.benchmark.full_size"), pack("nodes.host.unet")
    dtype = torch.float16 if ON_GPU else torch.float32
    config = full.FULL if ON_GPU else full.SMALL
    original = hosted.diffusers_model
    hosted.diffusers_model = lambda *ignored: full.random_denoiser(config, DEVICE, dtype).unet.cpu()
    try:
        patcher = pack("nodes.host.model").load_patcher(pack("nodes.host.folders").video_models()["sprite_t2v"])
    finally:
        hosted.diffusers_model = original
    patcher.text = full.random_text(config, torch.device("cpu"), torch.float32)
    return patcher


def other_model() -> Any:
    """Stable Diffusion 1.5's UNet with random weights, by ComfyUI's own classes."""
    sizes = {"num_res_blocks": [2] * 4, "channel_mult": [1, 2, 4, 4], "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0]}
    sizes |= {"transformer_depth_output": [1] * 9 + [0] * 3, "transformer_depth_middle": 1, "image_size": 32}
    sizes |= {"use_spatial_transformer": True, "legacy": False, "in_channels": 4, "out_channels": 4}
    sizes |= {"model_channels": 320, "context_dim": 768} if ON_GPU else {"model_channels": 32, "context_dim": 64}
    known = comfy.supported_models.SD15
    config = known({**known.unet_config, **sizes})
    dtype = torch.float16 if ON_GPU else torch.float32
    config.unet_config["dtype"] = dtype
    config.set_inference_dtype(dtype, None)
    model = config.get_model({}, "")
    generator = torch.Generator(DEVICE).manual_seed(4)
    with torch.no_grad():
        for parameter in model.diffusion_model.parameters():
            spread = 0.5 * parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
            parameter.copy_(spread * torch.randn(parameter.shape, generator=generator, device=DEVICE))
    kind = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)  # older versions have one
    return kind(model, DEVICE, management.unet_offload_device())


def other_seconds(patcher: Any) -> tuple[float, torch.Tensor]:
    """Seconds of the fastest call with guidance on a picture of 512², and what it returned. Not the median: at this
    size launching takes longer than computing, and the host's processor has other things to do."""
    generator = torch.Generator().manual_seed(6)
    side, width = (64, 768) if ON_GPU else (8, 64)
    x, text = torch.randn(2, 4, side, side, generator=generator), torch.randn(2, 77, width, generator=generator)
    with torch.inference_mode():
        management.load_models_gpu([patcher])
        x, text, sigma = x.to(DEVICE), text.to(DEVICE), torch.full((2,), 3.0, device=DEVICE)
        taken = []
        for _ in range(30 if ON_GPU else 3):
            began = _now()
            out = patcher.model.apply_model(x, sigma, c_crossattn=text)
            taken.append(_now() - began)
    return min(taken), out.float().cpu()


def _now() -> float:
    if ON_GPU:
        torch.cuda.synchronize()
    return time.perf_counter()


@contextlib.contextmanager
def as_before(patcher: Any, shape: tuple[int, ...], start: Any, fast: bool) -> Iterator[tuple[Any, Any, str]]:
    """Everything computed twice, nothing recorded: the host's pass, or the faster one."""
    hosted = pack("nodes.host.training")
    needed = hosted.plan_for(patcher, shape, start, "on", None).needed or 0
    with pack("nodes.host.session").loaded(patcher, shape, needed) as device:
        yield pack("nodes.host.denoiser").ModelDenoiser(patcher, recompute=True, fast=fast), device, "all parts twice"


def training(patcher: Any, opened: Callable[..., Any], steps: int) -> dict[str, Any]:
    """Train from zeros as the node does."""
    trainer, hosted = pack("motion_lib.training.loop"), pack("nodes.host.denoiser")
    if ON_GPU:
        management.soft_empty_cache()
        torch.cuda.reset_peak_memory_stats()
    backbone = hosted.backbone_of(patcher)
    size = HEIGHT // 8, WIDTH // 8
    start = pack("motion_lib.method.embedding").MotionEmbedding.zeros(backbone, SITES, FRAMES, size)
    with torch.inference_mode():  # as the executor does
        given = torch.randn(FRAMES, 4, *size, generator=torch.Generator().manual_seed(2)) / 0.18
        with opened(patcher, (FRAMES, 4, *size), start) as (denoiser, device, plan):
            latents = hosted.video_latents(patcher, {"samples": given}, device)
            text = hosted.text_embedding(patcher, [[patcher.text, {}]], device)
            with torch.inference_mode(False):
                settings = pack("motion_lib.training.settings").TrainingSettings(steps=steps)
                state = pack("motion_lib.training.state").TrainingState.start(start, settings, device)
                began, marks = _now(), []
                for _ in trainer.train(denoiser, latents, text, state):
                    marks.append(time.perf_counter())  # every step waits for its loss
                total = _now() - began
                peak = torch.cuda.max_memory_allocated() / GIB if ON_GPU else float("nan")
    apart = [b - a for a, b in itertools.pairwise(marks)][WARM_UP:]
    ms = 1e3 * statistics.median(apart) if apart else float("nan")
    words = plan if isinstance(plan, str) else plan.describe()
    return {"ms": ms, "total": total, "peak": peak, "losses": list(state.losses), "plan": words}


def sampling(patcher: Any) -> dict[str, float]:
    """Median seconds of the host's sampler with guidance, unpatched and patched, taking turns."""
    backbone = pack("nodes.host.denoiser").backbone_of(patcher)
    kind = pack("motion_lib.method.embedding").MotionEmbedding
    zeros = kind.zeros(backbone, SITES, FRAMES, (HEIGHT // 8, WIDTH // 8))
    generator = torch.Generator().manual_seed(3)
    drawn = {k: 0.1 * torch.randn(t.shape, generator=generator) for k, t in zeros.tensors.items()}
    patch = pack("motion_lib.method.patch").MotionPatch(zeros.with_tensors(drawn), debias="difference")
    ways = {"unpatched": patcher, "patched": pack("nodes.apply").patched(patcher, patch)}
    noise = torch.randn(FRAMES, 4, HEIGHT // 8, WIDTH // 8, generator=generator)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(REPEATS + 1):
        for name, model in ways.items():
            conds = [[[patcher.text, {}]], [[0.5 * patcher.text, {}]]]
            with torch.inference_mode():
                began = _now()
                zeros_like = torch.zeros_like(noise)
                comfy.sample.sample(
                    model, noise, SAMPLING_STEPS, 8.0, "ddim", "simple", *conds, zeros_like, disable_pbar=True, seed=0
                )
                if turn:
                    seconds[name].append(_now() - began)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def bits(module: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    """Of every weight: a digest of its values in their order, and how it lies in memory."""
    weights = [(p.detach().cpu().contiguous().flatten().view(torch.uint8), p.stride()) for p in module.parameters()]
    return [(hashlib.sha256(values.numpy()).hexdigest(), stride) for values, stride in weights]


def main() -> None:
    allocator = torch.cuda.get_allocator_backend() if ON_GPU else "CPU"
    name = torch.cuda.get_device_name() if ON_GPU else "CPU"
    memory = sys.modules.get("comfy.memory_management")  # older versions have none
    dynamic, hosted = getattr(memory, "aimdo_enabled", False), pack("nodes.host.training").ready_to_train
    print(f"{name}, PyTorch {torch.__version__}, allocator {allocator}, dynamic VRAM {dynamic}\n", flush=True)
    video, other = motion_model(), other_model()
    before, answer = other_seconds(other)
    weights = bits(video.model.diffusion_model)
    ways: dict[str, Callable[..., Any]] = {
        "host's pass, all parts twice": lambda *given: as_before(*given, fast=False),
        "faster pass, all parts twice, not recorded": lambda *given: as_before(*given, fast=True),
        "save_memory on": lambda *given: hosted(*given, "on"),
        "save_memory auto": lambda *given: hosted(*given, "auto"),
    }
    if not ON_GPU:  # the kernels need one
        del ways["faster pass, all parts twice, not recorded"]
    losses: list[float] = []

    def measure(way: str, opened: Callable[..., Any]) -> None:
        found = training(video, opened, STEPS)
        losses.extend(() if losses else found["losses"])
        off = max(abs(a / b - 1) for a, b in zip(found["losses"], losses, strict=True))
        cells = f"{found['ms']:.1f} | {found['peak']:.1f} | {found['total']:.1f} | {off:.3%} | {found['plan']}"
        print(f"| {way} | {cells} |", flush=True)

    print("| way | ms/step | peak GiB | steps in all, s | loss off the first way | plan |\n|---|---|---|---|---|---|")
    for way, opened in ways.items():
        measure(way, opened)
    print(f"\nweights as before: {bits(video.model.diffusion_model) == weights}")
    after, again = other_seconds(other)
    print(f"another model's call: {1e3 * before:.2f} ms before, {1e3 * after:.2f} after ({after / before:.3f})")
    print(f"its output differs by {largest(again, answer)}", flush=True)
    if ON_GPU:
        held = torch.cuda.memory_reserved() / GIB
        print(f"GiB free for the host {management.get_free_memory(DEVICE) / GIB:.1f}, held by PyTorch {held:.1f}\n")
    print(f"| {SAMPLING_STEPS} steps of DDIM with guidance | seconds | ÷ unpatched |\n|---|---|---|")
    seconds = sampling(video)
    for name, value in seconds.items():
        print(f"| {name} | {value:.2f} | {value / seconds['unpatched']:.4f} |", flush=True)
    if ON_GPU and allocator != "native":  # last, because nobody knows whether it comes to an end
        with mock.patch.object(pack("nodes.host.training"), "may_record", lambda: True):
            measure("save_memory auto, recorded all the same", ways["save_memory auto"])
        print(f"weights as before: {bits(video.model.diffusion_model) == weights}", flush=True)


if __name__ == "__main__":
    main()
