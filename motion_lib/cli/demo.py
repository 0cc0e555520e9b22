"""See it work: learn the motion of a sample clip and give it to other objects.

The demo uses the bundled clip and model, needs no network and no GPU, and takes a few minutes. To be quick, it learns
in fewer steps than the presets and samples in fewer than the model is meant for, with a little less of the motion and
more guidance; with --full it does as preset and model say. It writes to --out:
  reference.mp4         the clip whose motion is learned
  without_motion.mp4    other prompts, as the model moves them by chance
  with_motion.mp4       the same prompts and seeds with the learned motion
  comparison.webp       all of it side by side
  motion.safetensors    the learned motion
  report.json           how alike the motions are, whether the prompts were followed, and how long each stage took

example:
  motion-inversion demo --out motion_demo"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files.atomic import replacing
from ..method.application import PATCH
from .common import add_json, add_model_arguments, add_seed, load, show, without_nan
from .generate import add_application_arguments
from .machine import versions
from .task import chosen_preset
from .train import add_training_arguments

if TYPE_CHECKING:
    from torch import Tensor

    from ..backbones import VideoModel
    from ..method.embedding import MotionEmbedding
    from ..training.presets import Preset

REFERENCE, LONGER = (
    "figure_eight",
    "figure_eight_33",
)  # the longer one is for models whose latents are fewer than frames
# None shares colour, shape or background with the reference.
PROMPTS = (
    "a blue star on a beige striped background",
    "a green heart on a white dotted background",
    "an orange square on a navy plain background",
    "a purple triangle on a black checkered background",
    "a yellow moon on a brown cloudy background",
    "a pink cross on a white plain background",
)
AT_ONCE = 3  # videos of one sampling run
# Instead of what presets and models say, unless --full or an option says otherwise.
QUICK_STEPS, QUICK_SAMPLING_STEPS, QUICK_REFINEMENTS = 60, 10, 1
# A motion learned so quickly tears stripes apart at full strength. With less of it, the path needs more guidance. On a
# stack of blocks, the preset itself is quick.
QUICK_STRENGTH, QUICK_GUIDANCE = 0.9, 5.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path("motion_demo"), help="The folder to write to (default: motion_demo)."
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="Make videos of 6 prompts with 2 seeds each, instead of 3 prompts, with all the steps of the preset and "
        "of the model.",
    )
    parser.add_argument(
        "--sampling-steps",
        type=int,
        help=f"How many steps sampling takes (default: {QUICK_SAMPLING_STEPS}; with --full, as the model says).",
    )
    parser.add_argument(
        "--guidance",
        type=float,
        help=f"How closely to follow the prompt (default: {QUICK_GUIDANCE:g}; with --full, and on Wan, as the model "
        "says).",
    )
    add_model_arguments(parser)
    add_training_arguments(parser)
    add_application_arguments(parser)
    add_seed(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    import torch

    from ..bundled.samples import SAMPLES
    from ..diffusion.noise import mix
    from ..diffusion.sampling import random_noise
    from ..video import read_clip, side_by_side, write_video
    from .generate import invert_clip, make

    seconds: dict[str, float] = {}
    stage = _stopwatch(seconds)
    with stage("load"):
        model = load(options)
        sample = SAMPLES[REFERENCE if model.codec.latent_frames(5) == 5 else LONGER]
        backbone = model.denoiser.backbone
        if model.denoiser.abilities.pictures:
            options.picture = options.picture or "none"  # as its videos begin with none
        refinements = None if options.full else _hasten(options, backbone.stacked)
        chosen = chosen_preset(options, backbone).suiting(model.denoiser)
        steps, guidance = options.sampling_steps, options.guidance
        overrides = {name: getattr(options, name) for name in PATCH}
        weight = chosen.application.noise_weight if options.noise_weight is None else options.noise_weight
        clip = read_clip(sample.path)
        latents = model.encode_video(clip.frames)
    with stage("train"):
        embedding = _learn(options, chosen, model, clip, latents, sample.prompt)
    with stage("invert"):
        inverted = invert_clip(model, latents, steps, refinements) if weight else None
    patch = chosen.patch(embedding, **overrides)

    jobs = [(prompt, options.seed + 1 + s) for s in range(2) for prompt in PROMPTS] if options.full else []
    jobs = jobs or [(prompt, options.seed + 1) for prompt in PROMPTS[:3]]
    without: list[Tensor] = []
    moved: list[Tensor] = []
    for start in range(0, len(jobs), AT_ONCE):
        part = jobs[start : start + AT_ONCE]
        prompts = [prompt for prompt, _ in part]
        # Each prompt has its own noise, whatever the others are.
        fresh = torch.cat([random_noise(latents.shape, 1000 * seed + PROMPTS.index(p)) for p, seed in part]).to(latents)
        of = f" {start + 1}–{start + len(part)} of {len(jobs)}"
        with stage("generate_without"):
            what = f"Without the motion{of}"
            without += make(model, prompts, fresh, [], steps=steps, guidance=guidance, what=what)
        noise = fresh if inverted is None else mix(inverted, fresh, weight, options.noise, options.renormalise)
        with stage("generate_with"):
            what = f"With the motion{of}"
            moved += make(model, prompts, noise, [patch], steps=steps, guidance=guidance, what=what)

    with stage("measure"):
        rows = [
            _measure(clip.frames, prompt, seed, *pair)
            for (prompt, seed), *pair in zip(jobs, without, moved, strict=True)
        ]
    names = [prompt for prompt, _ in jobs]
    write_video(options.out / "reference.mp4", clip.frames, clip.fps)
    write_video(options.out / "without_motion.mp4", side_by_side(without, names, columns=3), clip.fps)
    write_video(options.out / "with_motion.mp4", side_by_side(moved, names, columns=3), clip.fps)
    shown = min(3, len(jobs))
    cells = [clip.frames, *without[:shown], clip.frames, *moved[:shown]]
    labels = ["reference", *(f"without: {n}" for n in names[:shown])]
    labels += ["reference", *(f"with: {n}" for n in names[:shown])]
    write_video(options.out / "comparison.webp", side_by_side(cells, labels, columns=shown + 1), clip.fps)

    report = {
        "reference": {"clip": sample.path.name, "prompt": sample.prompt},
        "model": model.name,
        "preset": options.preset,
        "training": asdict(chosen.settings) | {"sites": chosen.sites, "components": chosen.components},
        "apply": {name: getattr(patch, name) for name in PATCH},
        "noise": {"kind": options.noise, "weight": weight},
        "sampling": {
            "steps": steps or model.defaults.steps,
            "guidance": model.defaults.guidance if guidance is None else guidance,
        },
        "seed": options.seed,
        "file_bytes": (options.out / "motion.safetensors").stat().st_size,
        "mean": _means(rows),
        "prompts": rows,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "peak_memory_mb": _peak_memory(model.device),
        "device": str(model.device),
        "versions": versions(),
    }
    with replacing(options.out / "report.json") as temporary:
        temporary.write_text(json.dumps(without_nan(report), indent=2) + "\n", encoding="utf-8")
    show(report, options.json, _lines(options.out, report))


def _hasten(options: argparse.Namespace, stacked: bool) -> int:
    """Fewer steps, and what suits them, wherever the options leave them open; returns the refinements of inversion."""
    quick: dict[str, float] = {"sampling_steps": QUICK_SAMPLING_STEPS}
    if not stacked:
        quick |= {"steps": QUICK_STEPS, "guidance": QUICK_GUIDANCE}
        quick |= {"strength_qk": QUICK_STRENGTH, "strength_v": QUICK_STRENGTH}
    for name, value in quick.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return QUICK_REFINEMENTS


def _learn(
    options: argparse.Namespace, chosen: Preset, model: VideoModel, clip: Any, latents: Tensor, prompt: str
) -> MotionEmbedding:
    from ..files.embedding_file import load_embedding
    from ..training.provenance import origin_of
    from .learning import learn

    origin = origin_of(
        frames=clip.frames,
        fps=clip.fps,
        source=clip.source,
        prompt=prompt,
        model=model.name,
        preset=options.preset,
        chosen=chosen,
    )
    out = options.out / "motion.safetensors"
    learn(model, latents, [prompt], chosen, origin, out, first=clip.frames[:1])
    return load_embedding(out)  # what is shown is what a file holds


def _measure(reference: Tensor, prompt: str, seed: int, without: Tensor, moved: Tensor) -> dict[str, Any]:
    from ..errors import MotionError
    from ..metrics.captions import caption_accuracy
    from .evaluate import object_path_correlation

    row: dict[str, Any] = {"prompt": prompt, "seed": seed}
    for name, video in (("without", without), ("with", moved)):
        try:
            from ..metrics.fidelity import motion_fidelity

            fidelity: float | None = motion_fidelity(reference, video).score
        except MotionError:  # OpenCV is an optional part of the installation
            fidelity = None
        row[name] = {
            "path_correlation": object_path_correlation(reference, video),
            "motion_fidelity": fidelity,
            **{f"{kind}_right": right for kind, right in caption_accuracy(video, prompt).middle_frame.items()},
        }
    return row


def _means(rows: list[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Over the prompts for which a measure says something."""
    means: dict[str, dict[str, float | None]] = {}
    for name in ("without", "with"):
        means[name] = {}
        for key in rows[0][name]:
            values = [float(row[name][key]) for row in rows if row[name][key] is not None]
            values = [value for value in values if value == value]
            means[name][key] = round(sum(values) / len(values), 4) if values else None
    return means


def _lines(out: Path, report: dict[str, Any]) -> Iterator[str]:
    yield f"{'':24}{'without':>10}{'with motion':>14}"
    for key, value in report["mean"]["with"].items():
        before = report["mean"]["without"][key]
        if value is not None and before is not None:
            yield f"{key.replace('_', ' '):24}{before:10.2f}{value:14.2f}"
    if report["mean"]["with"]["motion_fidelity"] is None:
        yield "motion fidelity needs OpenCV: pip install opencv-python-headless"
    yield f"{sum(report['seconds'].values()):.0f} s. Look at {out / 'comparison.webp'}"


def _stopwatch(seconds: dict[str, float]):
    @contextmanager
    def stage(name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began

    return stage


def _peak_memory(device: Any) -> int | None:
    """Of the process, or of the GPU's allocator, in MB (10⁶ bytes)."""
    if device.type == "cuda":
        import torch

        return round(torch.cuda.max_memory_allocated(device) / 1e6)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if platform.system() == "Darwin" else peak * 1024 / 1e6)
