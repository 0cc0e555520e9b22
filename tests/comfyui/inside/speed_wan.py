"""A Wan of the real size with random weights inside ComfyUI, for docs/performance.md: time and memory of learning and
of sampling, what the node reckons learning to take, and whether weights and unpatched output are the same afterwards.

    python tests/comfyui/inside/speed_wan.py COMFYUI_FOLDER BASE_FOLDER SIZE DTYPE [SAVE_MEMORY...] --host [ARGUMENTS]

SIZE is 1.3b or 14b, DTYPE bfloat16 or float8_e4m3fn (all weights, as Load Diffusion Model keeps them), SAVE_MEMORY of
the training node, each in its turn; auto if none is named. Run by ComfyUI's Python, with its own arguments at the end.
`--host --cpu` tries everything on a small model; its times mean nothing.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from comfy_process import largest, pack  # isort: skip  starts ComfyUI
import comfy.memory_management
import comfy.model_management as management
import comfy.sample
import comfy.sd
import torch
from safetensors.torch import save_file
from torch import Tensor

GIVEN = sys.orig_argv[: sys.orig_argv.index("--host")]
DEVICE = management.get_torch_device()
ON_GPU = DEVICE.type == "cuda"
DTYPE = next(getattr(torch, name) for name in ("float8_e4m3fn", "bfloat16") if name in GIVEN)
WAYS = [way for way in ("auto", "on", "off") if way in GIVEN] or ["auto"]
SIZES = {"1.3b": (1536, 8960, 30), "14b": (5120, 13824, 40)}  # width, width of the feed-forward layers, blocks
DIM, FFN, BLOCKS = next(size for name, size in SIZES.items() if name in GIVEN) if ON_GPU else (256, 64, 6)
FRAMES, WIDTH, HEIGHT = (33, 832, 480) if ON_GPU else (9, 64, 64)
TEXT = 4096
STEPS, WARM_UP, SAMPLING, REPEATS = (6, 2, 6, 4) if ON_GPU else (3, 1, 2, 1)
GIB = 2**30


def motion_model(folder: Path) -> Any:
    """A MODEL as Load Diffusion Model makes it of a file whose weights are of this type."""
    with torch.device("meta"):
        made = pack("motion_lib.sprites.recipe.wan.dit").Transformer(DIM, FFN, BLOCKS, TEXT)
    generator, weights = torch.Generator(DEVICE).manual_seed(0), {}
    for name, empty in made.state_dict().items():
        drawn = torch.randn(empty.shape, generator=generator, device=DEVICE)
        spread = 0.6 * empty[0].numel() ** -0.5 if empty.ndim > 1 else 0.1
        weights[name] = (spread * drawn + float("norm" in name and name.endswith("weight"))).to(DTYPE).cpu()
    save_file(weights, file := folder / "wan.safetensors")
    weights.clear()
    with torch.inference_mode():  # as the executor does
        return comfy.sd.load_diffusion_model(str(file), model_options={"dtype": DTYPE})


def shape() -> tuple[int, ...]:
    return 1, 16, (FRAMES - 1) // 4 + 1, HEIGHT // 8, WIDTH // 8


def drawn(*size: int, seed: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def sampled(model: Any, text: Tensor) -> Tensor:
    """What KSampler makes of noise, with guidance."""
    noise, conds = drawn(*shape(), seed=5), [[[text, {}]], [[0.5 * text, {}]]]
    with torch.inference_mode():
        empty = torch.zeros_like(noise)
        return comfy.sample.sample(
            model, noise, SAMPLING, 5.0, "euler", "simple", *conds, empty, disable_pbar=True, seed=0
        ).float()


def patched_by_noise(model: Any, always: bool) -> Any:
    """With an embedding of random values, acting in all of sampling or as long as the preset says."""
    kind = pack("nodes.host.kinds").kind_of(model)
    entry = pack("motion_lib.training.presets").preset("object", kind.backbone)
    zeros = entry.empty(kind.backbone, shape()[2], shape()[3:])
    values = {name: 0.1 * drawn(*t.shape, seed=7) for name, t in zeros.tensors.items()}
    patch = pack("motion_lib.method.patch").MotionPatch(zeros.with_tensors(values))
    return pack("nodes.apply").patched(model, patch) if always else acting_at_first(model, patch)


def acting_at_first(model: Any, patch: Any) -> Any:
    return pack("nodes.apply").patched(model, dataclasses.replace(patch, end=0.4))


def _now() -> float:
    if ON_GPU:
        torch.cuda.synchronize()
    return time.perf_counter()


def _peak(reset: bool = False) -> tuple[float, float]:
    """GiB that tensors held at most, and that were taken from the card for them."""
    if not ON_GPU:
        return math.nan, math.nan
    found = torch.cuda.max_memory_allocated() / GIB, torch.cuda.max_memory_reserved() / GIB
    if reset:
        management.soft_empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return found


def learning(model: Any, text: Tensor, memory: str) -> str:
    """Steps of the preset as the node takes them."""
    kind = pack("nodes.host.kinds").kind_of(model)
    entry = pack("motion_lib.training.presets").preset("object", kind.backbone)
    settings = dataclasses.replace(entry.settings, steps=STEPS, motion_mask=0.0)
    _peak(reset=True)
    with torch.inference_mode():
        latents = kind.latents({"samples": drawn(*shape(), seed=2)}, DEVICE)
        conditioning = kind.conditioning([[text, {}]], latents, DEVICE)
        start = entry.empty(kind.backbone, shape()[2], shape()[3:])
        with kind.ready_to_train(latents, conditioning, start, memory, None) as (denoiser, device, plan):
            before = torch.cuda.memory_allocated() / GIB if ON_GPU else math.nan
            with torch.inference_mode(False):
                latents = kind.latents({"samples": drawn(*shape(), seed=2)}, device)
                conditioning = kind.conditioning([[text, {}]], latents, device)
                state = pack("motion_lib.training.state").TrainingState.start(start, settings, device)
                marks = [_now()]
                for _ in pack("motion_lib.training.loop").train(denoiser, latents, conditioning, state):
                    marks.append(_now())
            held, reserved = _peak()
    assert all(map(math.isfinite, state.losses)), state.losses
    ms = 1e3 * statistics.median([b - a for a, b in itertools.pairwise(marks)][WARM_UP:])
    needed = plan.needed / GIB
    cells = f"{ms:.1f} | {before:.1f} | {held:.1f} | {reserved:.1f} | {held - before:.2f} | {needed:.2f}"
    return f"| {memory}: {plan.describe()} | {cells} |"


def sampling(model: Any, text: Tensor) -> None:
    models = {"unpatched": model, "always": patched_by_noise(model, True), "preset": patched_by_noise(model, False)}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    _peak(reset=True)
    for turn in range(REPEATS + 1):
        for name, given in models.items():
            began = _now()
            sampled(given, text)
            if turn:  # the first warms up
                seconds[name].append(_now() - began)
    held, reserved = _peak()
    plain, always, preset = (statistics.median(taken) for taken in seconds.values())
    print(f"\n| {SAMPLING} steps with guidance | s | ÷ unpatched |\n|---|---|---|\n| unpatched | {plain:.3f} | 1 |")
    print(f"| acting in all of them | {always:.3f} | {always / plain:.4f} |")
    print(f"| acting as the preset does | {preset:.3f} | {preset / plain:.4f} |")
    print(f"at most {held:.1f} GiB held, {reserved:.1f} reserved", flush=True)


def weights_of(model: Any) -> str:
    class Here:
        """Quick to read there, wherever the host keeps them."""

        @staticmethod
        def parameters():
            return (weight.to(DEVICE) for weight in model.model.diffusion_model.parameters())

    return pack("motion_lib.benchmark.wan_checks").digest(Here)


def main(folder: Path) -> None:
    name, allocator = (torch.cuda.get_device_name(), torch.cuda.get_allocator_backend()) if ON_GPU else ("CPU", "CPU")
    dynamic = getattr(comfy.memory_management, "aimdo_enabled", False)
    print(f"{name}, PyTorch {torch.__version__}, allocator {allocator}, dynamic VRAM {dynamic}, {DTYPE}", flush=True)
    model, text = motion_model(folder), 0.1 * drawn(1, 512 if ON_GPU else 5, TEXT, seed=4)
    before, digest = sampled(model, text), weights_of(model)
    print(f"weights: {model.model_size() / GIB:.2f} GiB, computed in {model.model.manual_cast_dtype or DTYPE}\n")
    print("| save_memory and plan | ms/step | GiB before | held | reserved | beside what was there | reckoned |")
    print("|---|---|---|---|---|---|---|")
    for memory in WAYS:
        print(learning(model, text, memory), flush=True)
    sampling(model, text)
    print(f"weights as before: {weights_of(model) == digest}")
    print(f"unpatched output differs by {largest(sampled(model, text), before)}", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        main(Path(made))
