"""The parts of `benchmark speed` for the sizes of Wan."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from .tables import Book, head, row

if TYPE_CHECKING:
    import torch

    from ...benchmark.wan_full_size import WanBench, WanShape
    from ...benchmark.wan_training_speed import WanMeasured

FRAMES = {"wan-1.3b": (33, 81), "wan-14b": (33,)}  # of the ways
GROWTH_FRAMES, GROWTH_SIZES = (17, 33, 49, 81), ((416, 240), (832, 480))
TIMED = {"wan-1.3b": 6, "wan-14b": 4}  # steps; half as many before them warm up
GROWTH = 3  # steps where only the growth is asked for


def run(options: argparse.Namespace, device: torch.device) -> None:
    import torch

    from ...benchmark.wan_full_size import WanBench, WanShape

    name = options.model_shape
    small, bench = options.small, WanBench("small" if options.small else name, device)
    timed = options.steps or (2 if small else TIMED[name])
    frames = (options.frames,) if options.frames else FRAMES[name]
    shapes = [WanShape(number, options.width or 832, options.height or 480) for number in frames]
    shapes = [WanShape(9, 64, 48)] if small else shapes
    grown = _grown(shapes[0], small)
    book = Book(options.out)
    gpu = torch.cuda.get_device_name(device) if bench.on_gpu else "CPU"
    print(f"{gpu}, PyTorch {torch.__version__}, bfloat16, {name}{' of toy size' if small else ''}\n", flush=True)
    parts: dict[str, Callable[[], None]] = {
        "ways": lambda: _ways(bench, shapes, timed, book),
        "sampling": lambda: _sampling(bench, shapes[0], book, small),
        "growth": lambda: _growth(bench, grown if name == "wan-1.3b" else [], book),
        "checks": lambda: _checks(bench, shapes[0], book),
        "card": lambda: _card(bench, name, shapes[0], book),
    }
    for part, measured in parts.items():
        if part in options.parts:
            _unless_full(measured, part, book)
            print(flush=True)


def _grown(shape: WanShape, small: bool) -> list[WanShape]:
    """One thing changed at a time."""
    from ...benchmark.wan_full_size import WanShape

    if small:
        return [shape, WanShape(13, shape.width, shape.height)]
    found = [WanShape(frames, shape.width, shape.height) for frames in GROWTH_FRAMES]
    return [*found, *(each for each in (WanShape(shape.frames, *size) for size in GROWTH_SIZES) if each not in found)]


def _unless_full(measured: Callable[[], None], part: str, book: Book) -> None:
    """A part that the device has no memory for says so, and those after it go on."""
    import torch

    from ...benchmark.device_use import free

    full = ""
    try:
        measured()
    except torch.cuda.OutOfMemoryError as error:
        full = " ".join(str(error).split())[:200]
    free()  # outside of the handler, which holds what the part held
    if full:
        row([f"{part}: out of memory", full])
        book.enter("failed", part=part, said=full)


def _ways(bench: WanBench, shapes: list[WanShape], timed: int, book: Book) -> None:
    from ...benchmark.wan_full_size import PRESET
    from ...benchmark.wan_training_speed import LORA, MOTION_STEPS, WAYS, measure

    own = PRESET.settings.steps
    for shape in shapes:
        print(f"\n{shape}, {timed} steps timed\n")
        head(
            *("way", "ms/step", "LoRA ÷ this", "GiB allocated", "GiB reserved", "GiB beside the model"),
            *("estimate", "off by", f"s for {MOTION_STEPS} steps", f"s for {own} steps"),
        )
        slow = math.nan
        for way in WAYS:
            found = measure(bench, way, shape, timed, (timed + 1) // 2)
            slow = found.ms if way == LORA else slow
            book.enter("way", model=bench.name, **asdict(found), lora_by_this=_number(slow / found.ms))
            if found.said:
                row([way, found.said, *["–"] * 8])
                continue
            row(
                [
                    *(way, f"{found.ms:.1f}", f"{slow / found.ms:.2f}", f"{found.allocated:.1f}"),
                    *(f"{found.reserved:.1f}", f"{found.beside_reserved:.2f}", *_estimate(found)),
                    *(f"{found.seconds(MOTION_STEPS):.0f}", f"{found.seconds(own):.0f}"),
                ]
            )


def _estimate(found: WanMeasured) -> tuple[str, str]:
    return ("–", "–") if found.needed is None else (f"{found.needed:.2f}", f"{found.estimate_off:+.1%}")


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _sampling(bench: WanBench, shape: WanShape, book: Book, small: bool) -> None:
    from statistics import median

    from ...benchmark.wan_sampling_speed import STEPS, TURNS, sampling_seconds

    steps, turns = (2, 1) if small else (STEPS, TURNS) if bench.name == "wan-1.3b" else (2, 2)
    seconds = sampling_seconds(bench, shape, steps, turns)
    head(f"sampling, {steps} steps with guidance, {shape}", f"seconds, median of {turns}", "fastest", "÷ unpatched")
    plain = median(seconds["unpatched"])
    for name, found in seconds.items():
        row([name, f"{median(found):.3f}", f"{min(found):.3f}", f"{median(found) / plain:.4f}"])
    book.enter("sampling", model=bench.name, shape=str(shape), steps=steps, **seconds)


def _growth(bench: WanBench, shapes: list[WanShape], book: Book) -> None:
    from ...benchmark.wan_training_speed import LOW_MEMORY, PLAIN, measure

    if not shapes:
        print("Growth is measured for wan-1.3b alone.")
        return
    ways = (PLAIN, LOW_MEMORY)
    head("what is trained on", *(f"{way}: {unit}" for way in ways for unit in ("ms/step", "GiB reserved")))
    for shape in shapes:
        cells = [str(shape)]
        for way in ways:
            found = measure(bench, way, shape, GROWTH, 1, estimate=False)
            cells += [found.said, "–"] if found.said else [f"{found.ms:.1f}", f"{found.reserved:.1f}"]
            book.enter("growth", model=bench.name, **asdict(found))
        row(cells)


def _checks(bench: WanBench, shape: WanShape, book: Book) -> None:
    from ...benchmark.wan_checks import checks

    head("check", "", "found")
    for check in checks(bench, shape):
        row([check.name, "passed" if check.passed else "FAILED", check.found])
        book.enter("check", model=bench.name, **asdict(check))


def _card(bench: WanBench, name: str, shape: WanShape, book: Book) -> None:
    from ...benchmark.wan_small_card import CAPS, under_a_cap

    cap = CAPS[name]
    print(f"{shape}, the allocator capped to {cap} GiB\n")
    head("stage", "GiB reserved", "what")
    for stage in under_a_cap(bench, shape, cap):
        row([stage.name, "–" if stage.reserved is None else f"{stage.reserved:.1f}", stage.said])
        book.enter("card", model=bench.name, cap=cap, **asdict(stage))
