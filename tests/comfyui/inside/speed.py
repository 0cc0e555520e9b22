"""Training and sampling at full size inside ComfyUI, for docs/performance.md: time and memory of a step, what that does
to the host's other models, and whether the weights are the same bits afterwards.

    python tests/comfyui/inside/speed.py COMFYUI_FOLDER BASE_FOLDER [PART...] --host [ComfyUI's own arguments]

PART is training or sampling; both, if none is named. Run by ComfyUI's Python. `--host --cpu` tries everything on a
small model; its times mean nothing.
"""

from __future__ import annotations

import contextlib
import copy
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

PARTS = [part for part in ("training", "sampling") if part in sys.orig_argv] or ["training", "sampling"]
DEVICE = management.get_torch_device()
ON_GPU = DEVICE.type == "cuda"
FRAMES, WIDTH, HEIGHT = (16, 512, 320) if ON_GPU else (4, 64, 64)
SITES = "deep"
STEPS, WARM_UP = (40, 10) if ON_GPU else (3, 1)
SAMPLING = {20: 6, 50: 4} if ON_GPU else {2: 1, 3: 1}  # steps, and how often the fastest way takes them
OTHER_WAYS = 2 if ON_GPU else 1  # how often the others take the first number of steps
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
    # With DynamicVRAM, layers have no weights before they load some; here they need them to be filled.
    memory = sys.modules.get("comfy.memory_management")
    lazily = hasattr(memory, "aimdo_enabled")
    with mock.patch.object(memory, "aimdo_enabled", False) if lazily else contextlib.nullcontext():
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
    trainer, kind = pack("motion_lib.training.loop"), pack("nodes.host.kinds").kind_of(patcher)
    if ON_GPU:
        management.soft_empty_cache()
        torch.cuda.reset_peak_memory_stats()
    size = HEIGHT // 8, WIDTH // 8
    start = pack("motion_lib.method.embedding").MotionEmbedding.zeros(kind.backbone, SITES, FRAMES, size)
    with torch.inference_mode():  # as the executor does
        given = torch.randn(FRAMES, 4, *size, generator=torch.Generator().manual_seed(2)) / 0.18
        with opened(patcher, (FRAMES, 4, *size), start) as (denoiser, device, plan):
            latents = kind.latents({"samples": given}, device)
            text = kind.conditioning([[patcher.text, {}]], latents, device)
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


def patched_by_noise(patcher: Any) -> Any:
    """The MODEL with an embedding of random values."""
    backbone = pack("nodes.host.kinds").kind_of(patcher).backbone
    kind = pack("motion_lib.method.embedding").MotionEmbedding
    zeros = kind.zeros(backbone, SITES, FRAMES, (HEIGHT // 8, WIDTH // 8))
    generator = torch.Generator().manual_seed(3)
    drawn = {k: 0.1 * torch.randn(t.shape, generator=generator) for k, t in zeros.tensors.items()}
    patch = pack("motion_lib.method.patch").MotionPatch(zeros.with_tensors(drawn), debias="difference")
    return pack("nodes.apply").patched(patcher, patch)


def sampled(model: Any, text: torch.Tensor, steps: int) -> torch.Tensor:
    """What KSampler makes of noise, with guidance."""
    shape = FRAMES, 4, HEIGHT // 8, WIDTH // 8
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    conds = [[[text, {}]], [[0.5 * text, {}]]]
    with torch.inference_mode():
        empty = torch.zeros_like(noise)
        return comfy.sample.sample(
            model, noise, steps, 8.0, "ddim", "simple", *conds, empty, disable_pbar=True, seed=0
        ).float()


@contextlib.contextmanager
def computing(fast: bool | None, recorded: bool) -> Iterator[None]:
    """fast: through the faster pass, or diffusers'; as the MODEL chooses if None."""
    home = pack("nodes.host.sampling")
    faster = home.faster if fast is None else lambda unet, device: fast
    with mock.patch.object(home, "faster", faster), mock.patch.object(home, "may_record", lambda: recorded):
        yield


def sampling(patcher: Any) -> None:
    """Seconds of the host's sampler, unpatched and patched by turns, in every way that this host allows."""
    models = {"unpatched": patcher, "patched": patched_by_noise(patcher)}
    ways = {"diffusers' pass": (False, False), "faster pass, not recorded": (None, False), "faster pass": (None, True)}
    if not ON_GPU:
        ways = {"diffusers' pass": (False, False), "faster pass": (True, False)}
    elif not pack("nodes.host.recording").may_record():
        ways.pop("faster pass")
    *others, fastest = ways
    made, median = {}, dict[tuple[int, str, str], float]()
    for way, how in ways.items():
        with computing(*how):
            made[way] = [sampled(model, patcher.text, min(SAMPLING)) for model in models.values()]  # warms up as well
    print(
        "\n| with guidance | way | unpatched, s | patched, s | patched ÷ unpatched | times |\n|---|---|---|---|---|---|"
    )
    for steps, repeats in SAMPLING.items():
        turns = [(way, OTHER_WAYS) for way in others if steps == min(SAMPLING)] + [(fastest, repeats)]
        for way, times in turns:
            seconds: dict[str, list[float]] = {name: [] for name in models}
            for _ in range(times):
                for name, taken in seconds.items():
                    with computing(*ways[way]):
                        began = _now()
                        sampled(models[name], patcher.text, steps)
                        taken.append(_now() - began)
            plain, patched = (median.setdefault((steps, way, n), statistics.median(seconds[n])) for n in models)
            print(
                f"| {steps} steps | {way} | {plain:.3f} | {patched:.3f} | {patched / plain:.4f} | {times} |", flush=True
            )
    few, many = min(SAMPLING), max(SAMPLING)
    plain, patched = ((median[many, fastest, n] - median[few, fastest, n]) / (many - few) for n in models)
    cells = f"{1e3 * plain:.2f} ms | {1e3 * patched:.2f} ms | {patched / plain:.4f} |"
    print(f"| a step more | {fastest} | {cells} |", flush=True)
    print()
    for way, videos in made.items():
        for name, video, reference in zip(models, videos, made[next(iter(ways))], strict=True):
            off = float((video - reference).norm() / reference.norm())
            print(f"{min(SAMPLING)} steps, {way}, {name}: off the first way by {off:.1e} of the latents", flush=True)


def precision(patcher: Any) -> None:
    """How far one call of either pass is from the same in float32."""
    unet = patcher.model.diffusion_model
    exact = copy.deepcopy(unet).to(DEVICE).float()
    exact.compute_dtype = torch.float32
    with torch.inference_mode(), pack("nodes.host.session").loaded(patcher, (FRAMES, 4, HEIGHT // 8, WIDTH // 8)):
        generator = torch.Generator().manual_seed(8)
        x = torch.randn(2, 4, FRAMES, HEIGHT // 8, WIDTH // 8, generator=generator).to(DEVICE, unet.dtype)
        t, text = torch.tensor([500.0, 500.0], device=DEVICE), patcher.text.repeat(2, 1, 1).to(DEVICE, unet.dtype)
        with torch.backends.cudnn.flags(allow_tf32=False):
            expected = exact.as_diffusers(x.float(), t, text.float(), ())
        frozen = pack("motion_lib.backbones.unet3d.frozen_pass").FrozenPass(unet)
        for way, run in (("diffusers' pass", unet.as_diffusers), ("faster pass", frozen)):
            error = (run(x, t, text, ()).float() - expected).norm() / expected.norm()
            print(f"one call of {way} is off float32 by {float(error):.2e}", flush=True)
    management.soft_empty_cache()


def bits(module: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    """Of every weight: a digest of its values in their order, and how it lies in memory."""
    weights = [(p.detach().cpu().contiguous().flatten().view(torch.uint8), p.stride()) for p in module.parameters()]
    return [(hashlib.sha256(values.numpy()).hexdigest(), stride) for values, stride in weights]


def main() -> None:
    allocator = torch.cuda.get_allocator_backend() if ON_GPU else "CPU"
    name = torch.cuda.get_device_name() if ON_GPU else "CPU"
    memory = sys.modules.get("comfy.memory_management")  # older versions have none
    dynamic = getattr(memory, "aimdo_enabled", False)
    print(f"{name}, PyTorch {torch.__version__}, allocator {allocator}, dynamic VRAM {dynamic}\n", flush=True)
    video, other = motion_model(), other_model()
    first, answer = other_seconds(other)
    other_seconds(other_model())
    before, _ = other_seconds(other)
    print(
        f"another model's call: {1e3 * first:.2f} ms, {1e3 * before:.2f} after one of its kind ({before / first:.3f})"
    )
    weights = bits(video.model.diffusion_model)
    for part in PARTS:
        {"training": training_in_every_way, "sampling": sampling}[part](video)
        print(f"\nweights as before: {bits(video.model.diffusion_model) == weights}")
        if ON_GPU:
            held = torch.cuda.memory_reserved() / GIB
            print(f"GiB free for the host {management.get_free_memory(DEVICE) / GIB:.1f}, held by PyTorch {held:.1f}")
    if "sampling" in PARTS:
        precision(video)
    after, again = min((other_seconds(other) for _ in range(2)), key=lambda found: found[0])
    print(f"another model's call: {1e3 * before:.2f} ms before, {1e3 * after:.2f} after ({after / before:.3f})")
    print(f"its output differs by {largest(again, answer)}", flush=True)


def training_in_every_way(video: Any) -> None:
    hosted = pack("nodes.host.training")
    ways: dict[str, Callable[..., Any]] = {
        "host's pass, all parts twice": lambda *given: as_before(*given, fast=False),
        "faster pass, all parts twice, not recorded": lambda *given: as_before(*given, fast=True),
        "save_memory on, not recorded": lambda *given: recording(False, *given, "on"),
        "save_memory auto, not recorded": lambda *given: recording(False, *given, "auto"),
        "save_memory on": lambda *given: recording(True, *given, "on"),
        "save_memory auto": lambda *given: recording(True, *given, "auto"),
    }

    @contextlib.contextmanager
    def recording(wanted: bool, *given: Any) -> Iterator[Any]:
        """Whatever the allocator."""
        with mock.patch.object(hosted, "may_record", lambda: wanted), hosted.ready_to_train(*given) as ready:
            yield ready

    if not ON_GPU:  # the kernels need one
        ways = {name: way for name, way in ways.items() if "not recorded" not in name}
    losses: list[float] = []
    print("| way | ms/step | peak GiB | steps in all, s | loss off the first way | plan |\n|---|---|---|---|---|---|")
    for way, opened in ways.items():
        found = training(video, opened, STEPS)
        losses.extend(() if losses else found["losses"])
        off = max(abs(a / b - 1) for a, b in zip(found["losses"], losses, strict=True))
        cells = f"{found['ms']:.1f} | {found['peak']:.1f} | {found['total']:.1f} | {off:.3%} | {found['plan']}"
        print(f"| {way} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
