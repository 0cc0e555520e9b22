"""Try a model on this machine and write a small report to send back.

What is measured on the models that come with this program says little of large ones on other machines. This command
learns the motion of a clip, makes videos with and without it, and writes two files of together less than 1 MB to --out:
  report.json   versions, device, the model's shape, seconds and memory of every step beside the estimate, losses,
                how alike the motions are, how much of the look came along, and whether the model is as it was
  sheet.jpg     frames of the clip and of the videos, unless --no-sheet leaves it out
Neither holds the name of the machine, of its user, of a file or of a folder, and prompts are there only with
--with-prompts. Look at both before you send them. Without a VIDEO, a clip that comes with this program is taken.

examples:
  motion-inversion report --quick
  motion-inversion report --quick --model sprite_wan
  motion-inversion report dance.mp4 --prompt "a man dancing" --say "a robot dancing" --model Wan2.1-T2V-1.3B --frames 33
  --width 832 --height 480"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backbones.accelerate.training_modes import MODES
from ..errors import MotionError
from ..files.atomic import replacing
from .common import (
    add_clip_arguments,
    add_json,
    add_model_arguments,
    add_seed,
    bar,
    load,
    read_reference,
    say,
    show,
    without_nan,
)
from .machine import Memory, machine, versions

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..backbones import VideoModel
    from ..training.presets import Preset
    from ..training.state import TrainingState

QUICK_STEPS, QUICK_SAMPLING_STEPS = 15, 8
LARGEST = 900_000  # bytes of the sheet
SCORES = ("motion_fidelity", "path_correlation", "appearance_leak", "warp_error")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", metavar="VIDEO", nargs="?", help="The clip whose motion is learned.")
    parser.add_argument("--prompt", help="What VIDEO shows.")
    parser.add_argument(
        "--say",
        action="append",
        metavar="PROMPT",
        help="What a generated video should show; may be given several times.",
    )
    parser.add_argument(
        "--image",
        metavar="PICTURE",
        help="What generated videos begin with, where the model takes a picture; an image-to-video model needs one.",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("motion_report"), help="The folder to write to (default: motion_report)."
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"Learn in {QUICK_STEPS} steps and sample in {QUICK_SAMPLING_STEPS}, which shows that everything runs and "
        "what it costs, but not how good it gets.",
    )
    parser.add_argument("--with-prompts", action="store_true", help="Write the prompts into the report.")
    parser.add_argument("--no-sheet", action="store_true", help="Write no pictures.")
    parser.add_argument("--mode", default="auto", choices=MODES, help="How training runs (default: auto).")
    add_model_arguments(parser)
    add_clip_arguments(parser)
    add_seed(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    from ..bundled.models import BUNDLED
    from ..bundled.samples import SAMPLES
    from ..files.atomic import check_writable
    from ..training.presets import preset
    from .demo import LONGER, PROMPTS, REFERENCE
    from .generate import read_picture

    if options.video and not options.prompt:
        raise MotionError("The report needs to know what VIDEO shows: say it with --prompt.")
    options.out.mkdir(parents=True, exist_ok=True)
    for name in ("report.json", "sheet.jpg"):
        check_writable(options.out / name)
    model = load(options)
    own = SAMPLES[REFERENCE if model.codec.latent_frames(5) == 5 else LONGER]
    video, prompt = (options.video, options.prompt) if options.video else (str(own.path), own.prompt)
    if not options.video:
        options.frames = options.frames or (model.defaults.frames if options.model in BUNDLED else 33)
    clip = read_reference(options, video, model).frames
    picture = None if options.image is None else read_picture(options, model, options.image)
    chosen = preset("object", model.denoiser.backbone)
    if picture is None and model.denoiser.abilities.pictures:
        chosen = replace(chosen, settings=replace(chosen.settings, picture="none"))
    chosen = chosen.suiting(model.denoiser)
    steps = model.defaults.steps
    if options.quick:
        chosen = replace(chosen, settings=replace(chosen.settings, steps=QUICK_STEPS))
        steps = QUICK_SAMPLING_STEPS
    prompts: list[str] = options.say or list(PROMPTS[: 1 if options.quick else 2])

    latents = model.encode_video(clip)
    asked = _asked_once(model, latents.shape)
    before = asked()
    state, training = _learned(options, model, chosen, clip, latents, prompt)
    known = options.model in BUNDLED
    videos, sampling, rows = _made(options, model, chosen, state, clip, prompts, steps, known, picture)
    after = asked()
    report: dict[str, Any] = {
        "versions": versions(),
        "machine": machine(model.device),
        "model": _described(options, model),
        "clip": {"bundled": not options.video, "frames": list(clip.shape), "latents": list(latents.shape)},
        "training": training,
        "sampling": sampling,
        "videos": rows,
        "unpatched_bit_identical": bool((before == after).all()),
        "unpatched_finite": bool(after.isfinite().all()),
        "quick": options.quick,
        "seed": options.seed,
    }
    if options.with_prompts:
        report["prompts"] = {"clip": prompt, "videos": prompts}
    with replacing(options.out / "report.json") as path:
        path.write_text(json.dumps(without_nan(report), indent=1) + "\n", encoding="utf-8")
    if not options.no_sheet:
        _write_sheet(options.out / "sheet.jpg", [clip, *videos], len(prompts))
    show(report, options.json, _lines(options, report))


def _asked_once(model: VideoModel, shape: torch.Size) -> Callable[[], Tensor]:
    """What the model predicts of the same noise whenever it is asked."""
    import torch

    from ..diffusion.sampling import random_noise

    noise, text = random_noise(shape, 1).to(model.device, model.dtype), model.encode_prompt([""])
    at = torch.full((1,), model.denoiser.process.timesteps(2)[1], device=model.device)

    @torch.no_grad()
    def ask() -> Tensor:
        return model.denoiser(noise, at, text)

    return ask


def _learned(
    options: argparse.Namespace, model: VideoModel, chosen: Preset, clip: Tensor, latents: Tensor, prompt: str
) -> tuple[TrainingState, dict[str, Any]]:
    from ..backbones.accelerate.training_modes import accelerated, plan_training, training_bytes
    from ..training.loop import train
    from ..training.state import TrainingState

    size = (latents.shape[3], latents.shape[4])
    empty = chosen.empty(model.denoiser.backbone, latents.shape[2], size)
    empty = replace(empty, origin=replace(empty.origin, preset="object", settings=chosen.settings.recorded()))
    state = TrainingState.start(empty, chosen.settings, model.device)
    own = chosen.settings.picture == "own"
    conditioning = model.conditioning([prompt], model.first_frame(clip[0], latents.shape) if own else None)
    plan = plan_training(model.denoiser, options.mode, latents.shape, state.embedding)
    abilities = model.denoiser.abilities
    estimate = plan.needed
    if estimate is None and abilities.compute is not None:
        estimate = training_bytes(abilities, latents.shape, state.embedding, plan)
    seconds: list[float] = []
    memory = Memory(model.device)
    progress = bar(chosen.settings.steps, "Learning the motion")
    try:
        with accelerated(model.denoiser, plan) as denoiser:
            began = time.perf_counter()
            for _ in train(denoiser, latents, conditioning, state):
                now = time.perf_counter()
                seconds.append(now - began)
                began = now
                progress.update(1)
    finally:
        progress.close()
    losses = state.losses
    shown = sorted({round(i * (len(losses) - 1) / 99) for i in range(100)})
    return state, {
        "mode": plan.mode,
        "computed_twice": list(plan.recompute),
        "steps": len(losses),
        "settings": chosen.settings.recorded(),
        "values": state.embedding.numel(),
        "seconds_first_step": round(seconds[0], 4),
        "seconds_per_step": round(sorted(seconds)[len(seconds) // 2], 4),
        "seconds": round(sum(seconds), 2),
        "peak_bytes": memory.peak(),
        "estimated_bytes": estimate,
        "losses": {i + 1: round(losses[i], 5) for i in shown},
    }


def _made(
    options: argparse.Namespace,
    model: VideoModel,
    chosen: Preset,
    state: TrainingState,
    clip: Tensor,
    prompts: list[str],
    steps: int,
    known: bool,
    picture: Tensor | None,
) -> tuple[list[Tensor], dict[str, Any], list[dict[str, Any]]]:
    """Videos in the order of the sheet's rows, what sampling cost, and the scores of each prompt."""
    from .generate import make

    patch, videos, rows, seconds = chosen.patch(state.learned), [], [], {"without": 0.0, "with": 0.0}
    memory = Memory(model.device)
    for i, prompt in enumerate(prompts):
        noise, pair = model.noise(len(clip), clip.shape[2], clip.shape[1], options.seed + 1 + i), []
        for name, patches in (("without", []), ("with", [patch])):
            began = time.perf_counter()
            pair += make(
                model, [prompt], noise, patches, steps=steps, picture=picture, what=f"{name.capitalize()} the motion"
            )
            seconds[name] += time.perf_counter() - began
        videos += pair
        rows.append(_scores(clip, pair[0], pair[1], prompt if known else None))
    cost = {f"seconds_{name}": round(spent / len(prompts), 2) for name, spent in seconds.items()}
    cost |= {"steps": steps, "guidance": model.defaults.guidance, "sampler": model.denoiser.process.sampler}
    cost["with_picture"] = picture is not None
    return videos, cost | {"peak_bytes": memory.peak()}, rows


def _scores(clip: Tensor, without: Tensor, moved: Tensor, prompt: str | None) -> dict[str, Any]:
    """With the motion and without; of a path only where the object can be told from everything else. None where OpenCV
    is missing, which is an optional part of the installation."""
    from .evaluate import compare

    try:
        found = {"with": compare(clip, moved, without, prompt), "without": compare(clip, without, prompt=prompt)}
    except MotionError as error:
        say(f"Nothing is compared: {error}")
        return {"with": None, "without": None}
    names = [name for name in SCORES if prompt or name != "path_correlation"]
    return {
        way: {name: round(scores[name], 4) if math.isfinite(scores[name]) else None for name in names if name in scores}
        for way, scores in found.items()
    }


def _described(options: argparse.Namespace, model: VideoModel) -> dict[str, Any]:
    from ..bundled.models import BUNDLED
    from ..training.identity import model_hash

    denoiser, backbone = model.denoiser, model.denoiser.backbone
    folder = BUNDLED[options.model][0] if options.model in BUNDLED else Path(options.model).expanduser()
    return {
        "name": options.model if options.model in BUNDLED else None,  # others may be named after somebody
        "sha256": model_hash(folder),
        "family": backbone.family,
        "sites": len(backbone.layers),
        "channels": sorted({layer.channels for layer in backbone.layers}),
        "parameters": sum(p.numel() for p in denoiser.abilities.network.parameters()),
        "dtype": str(model.dtype).removeprefix("torch."),
        "takes_pictures": denoiser.abilities.pictures,
        "predicts": denoiser.process.prediction,
        "shift": getattr(denoiser.process, "shift", None),
        "boundary": denoiser.process.boundary,
        "latent_channels": model.codec.channels,
        "pixels_per_latent": model.codec.pixels_per_latent,
    }


def _write_sheet(out: Path, clips: list[Tensor], prompts: int) -> None:
    """As large as LARGEST allows."""
    from ..video import contact_sheet

    labels = ["the clip"]
    for i in range(1, prompts + 1):
        labels += [f"video {i}, without the motion", f"video {i}, with the motion"]
    scale = min(1.0, 160 / clips[0].shape[2])
    sheet = contact_sheet(clips, labels, columns=8, scale=scale).convert("RGB")
    for quality in (85, 60, 35):
        with replacing(out) as path:
            sheet.save(path, "JPEG", quality=quality)
        if out.stat().st_size <= LARGEST:
            return


def _lines(options: argparse.Namespace, report: dict[str, Any]) -> Iterator[str]:
    training, sampling = report["training"], report["sampling"]
    yield f"{options.out / 'report.json'}{'' if options.no_sheet else ' and sheet.jpg'}: look at them, then send them."
    yield f"learning: {training['seconds_per_step']:.2f} s a step, {training['steps']} steps"
    spent = [f"{sampling[f'seconds_{name}']:.1f}" for name in ("with", "without")]
    yield f"sampling: {spent[0]} s a video with the motion, {spent[1]} s without"
    yield f"the model is bit for bit as it was: {'yes' if report['unpatched_bit_identical'] else 'NO'}"
