"""Time and memory of training and sampling, at full size on a GPU.

A model of the size of ModelScope and ZeroScope with random weights (1.41 billion parameters) learns from a random clip
in every way side by side: as published, as its library runs it, and in the modes of `train --mode`. The Markdown tables
of docs/performance.md are printed. With --model-shape the model has the size of Wan 2.1 instead, and a LoRA as common
trainers learn it is beside the modes. On a CPU, --small tries everything on a model of toy size; its times mean
nothing.

examples:
  motion-inversion benchmark speed
  motion-inversion benchmark speed --model-shape wan-1.3b --out numbers.json
  motion-inversion benchmark speed --parts ways checks --steps 20
  motion-inversion benchmark speed --small --steps 3"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..common import pick_device
from .tables import Book, head, row

if TYPE_CHECKING:
    from ...benchmark.training_speed import Bench, Measured, Shape

MODEL_SHAPES = ("unet3d", "wan-1.3b", "wan-14b")
PARTS = ("ways", "sampling", "card", "checks", "growth")
FRAMES = (8, 24, 32, 48)
SIZES = ((256, 256), (576, 320), (768, 448), (1024, 576))
SITES = ("all",)
TRIAL = 8  # steps where only time and memory are asked for


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model-shape",
        default=MODEL_SHAPES[0],
        choices=MODEL_SHAPES,
        help="The model whose size is measured: unet3d is ModelScope's and ZeroScope's (default: unet3d).",
    )
    kinds = "ways of training; sampling and inversion; growth with frames, size and sites; checks of the fast paths; "
    parser.add_argument(
        "--parts",
        nargs="+",
        default=PARTS,
        choices=PARTS,
        help=f"What to measure: {kinds}card, which is the whole method in 7.5 GiB (default: all).",
    )
    parser.add_argument(
        "--steps",
        type=int,
        help="How many training steps each way takes (default: 50, whose losses are compared; of Wan 6 that are "
        "timed, and 4 of its 14B model).",
    )
    parser.add_argument(
        "--long-run",
        type=int,
        default=800,
        help="How many steps the long run among the checks takes; 0 leaves it out (default: 800; not of Wan).",
    )
    add_size_arguments(parser, ("; of Wan 33 and 81", "; of Wan 832", "; of Wan 480"))
    parser.set_defaults(frames=None, width=None, height=None)
    parser.add_argument("--device", default="auto", help="The device: auto, cpu, cuda or cuda:1 (default: auto).")
    parser.add_argument(
        "--dtype",
        default="float16",
        choices=("float16", "bfloat16"),
        help="The kind of half precision (default: float16; of Wan always bfloat16).",
    )
    parser.add_argument("--out", type=Path, help="The JSON file to which all numbers are written as they come.")


def add_size_arguments(parser: argparse.ArgumentParser, others: tuple[str, str, str] = ("", "", "")) -> None:
    """How large the clips are that a model of full size learns from. others: what help says of defaults besides."""
    parser.add_argument(
        "--frames", type=int, default=16, help=f"How many frames each clip has (default: 16{others[0]})."
    )
    parser.add_argument("--width", type=int, default=512, help=f"Width in pixels (default: 512{others[1]}).")
    parser.add_argument("--height", type=int, default=320, help=f"Height in pixels (default: 320{others[2]}).")
    parser.add_argument("--small", action="store_true", help="Use a model and clips of toy size.")


def run(options: argparse.Namespace) -> None:
    import torch

    from ...benchmark.full_size import FULL, SMALL
    from ...benchmark.training_speed import Bench, Shape

    device = pick_device(options.device)
    if options.model_shape != MODEL_SHAPES[0]:
        from . import speed_of_wan

        speed_of_wan.run(options, device)
        return
    half = getattr(torch, options.dtype)
    if device.type == "cpu":
        half = torch.bfloat16 if half == torch.float16 else half  # CPUs have few operations in float16
    bench = Bench(SMALL if options.small else FULL, device, half)
    shape = (
        Shape(4, 64, 64) if options.small else Shape(options.frames or 16, options.width or 512, options.height or 320)
    )
    book = Book(options.out)
    name = torch.cuda.get_device_name(device) if bench.on_gpu else "CPU"
    print(f"{name}, PyTorch {torch.__version__}, {options.dtype}, {shape}\n", flush=True)
    parts: dict[str, Callable[[], object]] = {
        "ways": lambda: _ways(bench, shape, options.steps or 50, book),
        "sampling": lambda: _sampling(bench, shape, book, quick=options.small),
        "growth": lambda: _growth(bench, shape, book, quick=options.small),
        "checks": lambda: _checks(bench, shape, options.long_run, book),
        "card": lambda: _card(bench, shape, book),
    }
    for part in PARTS:
        if part in options.parts:
            parts[part]()
            print(flush=True)


def _numbers(found: Measured) -> dict[str, object]:
    return {k: v for k, v in asdict(found).items() if k not in ("plan", "shape")} | {
        "shape": str(found.shape),
        "recompute": found.plan.recompute,
    }


def _ways(bench: Bench, shape: Shape, steps: int, book: Book) -> None:
    """Every way of training on the same draws."""
    from ...benchmark.training_speed import measure, ways

    head("way", "ms/step", "reference ÷ this", "GiB allocated", "GiB reserved", "first step s", "loss off float32 by")
    true: list[float] = []
    slow = float("nan")
    for way in ways(bench.half):
        found = measure(bench, way, shape, steps)
        true = true or found.losses
        slow = found.ms if way.name == "reference-like" else slow
        away = max(abs(a / b - 1) for a, b in zip(found.losses, true, strict=True))
        row(
            [
                way.name,
                f"{found.ms:.1f}",
                f"{slow / found.ms:.2f}",
                f"{found.allocated:.1f}",
                f"{found.reserved:.1f}",
                f"{found.first:.1f}",
                f"{away:.2%}",
            ]
        )
        book.enter("way", **_numbers(found), loss_off=away)


def _sampling(bench: Bench, shape: Shape, book: Book, quick: bool) -> None:
    from ...benchmark.sampling_speed import INVERSION_STEPS, SAMPLING_STEPS, sampling_seconds

    head("what", "seconds", "÷ unpatched")
    for way, seconds in sampling_seconds(bench, shape, *((2, 1) if quick else (50, 1))).items():
        for name, value in seconds.items():
            steps = INVERSION_STEPS if name == "inversion" else SAMPLING_STEPS
            what = (
                f"inversion, {steps} steps" if name == "inversion" else f"sampling {name}, {steps} steps with guidance"
            )
            row([f"{what}, {way}", f"{value:.2f}", f"{value / seconds['unpatched']:.4f}"])
        book.enter("sampling", way=way, **seconds)


def _growth(bench: Bench, shape: Shape, book: Book, quick: bool) -> None:
    """One thing changed at a time."""
    from ...benchmark.training_speed import measure, ways

    shapes = [shape]
    if not quick:
        shapes += [replace(shape, frames=frames) for frames in FRAMES]
        shapes += [replace(shape, width=width, height=height) for width, height in SIZES]
    shapes += [replace(shape, sites=sites) for sites in SITES]
    chosen = [way for way in ways(bench.half) if way.name in ("fast", "low_memory")]
    head("what is trained", *(f"{way.name}: {unit}" for way in chosen for unit in ("ms/step", "GiB reserved")))
    for each in shapes:
        cells = [str(each)]
        for way in chosen:
            found = measure(bench, way, each, TRIAL)
            cells += [f"{found.ms:.1f}", f"{found.reserved:.1f}"]
            book.enter("growth", **_numbers(found))
        row(cells)


def _checks(bench: Bench, shape: Shape, long_run: int, book: Book) -> None:
    from ...benchmark.speed_checks import checks

    head("check", "", "found")
    for check in checks(bench, shape, long_run):
        row([check.name, "passed" if check.passed else "FAILED", check.found])
        book.enter("check", **asdict(check))


def _card(bench: Bench, shape: Shape, book: Book) -> None:
    from ...benchmark.small_card import CAP, under_a_cap

    if not bench.on_gpu:
        print(f"The run under a cap of {CAP} GiB needs a GPU.")
        return
    sentence, peaks = under_a_cap(bench, shape)
    print(f"All of the method with the allocator capped to {CAP} GiB. {sentence}\n")
    head("stage", "GiB reserved")
    for stage, peak in peaks.items():
        row([stage, f"{peak:.1f}"])
    book.enter("card", plan=sentence, **peaks)
