"""What a file of codes is worth on the benchmark's motions, none of which training draws: videos made with what one
pass reads, beside those of trained embeddings, and what the heads say beside the truth.

The latents of all videos are kept, so that measures which need OpenCV can be taken elsewhere.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ....backbones import VideoModel, load_model
from ....backbones.accelerate.recorded_sampling import RecordedDenoiser
from ....backbones.accelerate.training_modes import accelerated, plan_training
from ....benchmark.cases import CROSSED, Case, rendered_case
from ....camera.alignment import CameraAlignment
from ....camera.noise_warping import warped_noise
from ....camera.path import CameraPath
from ....codes.codes_file import load_codes
from ....codes.from_clip import start_of
from ....codes.reader import Reader, Reading
from ....diffusion.inversion import REFINEMENTS, invert
from ....diffusion.noise import mix
from ....diffusion.sampling import random_noise
from ....files.atomic import replacing
from ....method.application import APPLICATIONS, Application
from ....method.embedding import MotionEmbedding
from ....metrics.captions import caption_accuracy, object_path
from ....metrics.paths import path_correlation
from ....training.loop import TrainingRun, train_together
from ....training.presets import preset
from ....training.settings import TrainingSettings
from ....training.state import TrainingState
from ....video.sheet import contact_sheet
from ...motions import MOTIONS

GUIDANCE = 4.0
SHEET = ("figure_eight", "zigzag", "bounce", "spiral", "orbit", "grow", "pan", "eight_and_pan")


@dataclass(frozen=True)
class Known:
    """A case, what the model makes of its clip, and what was read of it."""

    case: Case
    latents: Tensor
    inverted: Tensor
    reading: Reading


@dataclass(frozen=True)
class Way:
    """How videos are made of one reference: what is applied, how, and the camera's path, if one is followed."""

    known: Known
    embedding: MotionEmbedding | None
    application: Application
    camera: CameraPath | None = None


def evaluate(
    codes: Path,
    out: Path,
    device: str,
    steps: int,
    prompts: int,
    seeds: int,
    motions: Sequence[str] | None,
    starts: Sequence[int],
    usual: bool,
    model: str = "sprite_t2v",
) -> None:
    """Write `report.json`, `sheet.png` and, of the ways that do not train from codes, `latents.safetensors`."""
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    loaded, reader = load_model(model, device), load_codes(codes, device)
    sampler = replace(loaded, denoiser=RecordedDenoiser(loaded.denoiser)) if loaded.device.type == "cuda" else loaded
    known = _known(sampler, reader, [rendered_case(motion, prompts) for motion in motions or MOTIONS], steps)
    report: dict[str, Any] = {"read": {each.case.name: read_against_truth(reader, each) for each in known}}
    report["methods"], kept = {}, {}
    sheets: dict[str, dict[str, Tensor]] = {each.case.name: {} for each in known}

    def measure(name: str, ways: Sequence[Way], keep: bool = False) -> None:
        scores = {}
        for way in ways:
            case, latents = way.known.case, _videos(sampler, way, seeds, steps)
            if keep:
                kept[f"{name}/{case.name}"] = latents.to(torch.float16).cpu().contiguous()
            videos = [loaded.decode_video(part) for part in latents.split(1)]
            sheets[case.name][name] = videos[0]
            scores[case.name] = _scores(case, videos, seeds)
        report["methods"][name] = {"mean": _means(list(scores.values())), **scores}
        if keep:
            save_file(kept, out / "latents.safetensors")
        with replacing(out / "report.json") as temporary:
            temporary.write_text(json.dumps(report, indent=1), encoding="utf-8")
        told = {name: report["methods"][name]["mean"], "seconds": round(time.monotonic() - began)}
        print(json.dumps(told), flush=True)

    def trained(count: int, rate: float | None = None, begun: Sequence[MotionEmbedding] | None = None) -> list[Way]:
        learned = _trained(loaded, known, begun, count, rate)
        return [Way(k, m, APPLICATIONS["object"]) for k, m in zip(known, learned, strict=True)]

    measure("one_pass", [_read_way(reader, each) for each in known], keep=True)
    _sheet(known, sheets, out / "sheet.png")
    if cross := _crossed(reader, known):
        measure("crossed", cross, keep=True)
    measure("nothing", [Way(each, None, Application(noise_weight=0.0)) for each in known], keep=True)
    if usual:
        measure("trained_150", trained(150), keep=True)
    begun = [reader.embedding(each.reading.codes) for each in known]
    for count in starts:
        for rate in (0.15, 0.05):
            measure(f"codes_{count}_rate_{rate}", trained(count, rate, begun))
        measure(f"empty_{count}", trained(count))
    _sheet(known, sheets, out / "sheet.png")


def read_against_truth(reader: Reader, known: Known) -> dict[str, Any]:
    """Correlations of what the heads read with the truth, where that moves; the codes' distance from training's, and
    the words."""
    truth, reading = known.case.truth, known.reading
    assert truth is not None
    pairs = {
        "path": (reading.path, truth.position[0]),
        "scale": (reading.scale[:, None], truth.radius[0].log()[:, None]),
        "angle": (reading.angle[:, None], truth.angle[0][:, None]),
        "log_zoom": (reading.camera.log_zoom[:, None], truth.zoom[0].log()[:, None]),
    }
    found: dict[str, Any] = {
        name: round(path_correlation(ours, theirs), 4)
        for name, (ours, theirs) in pairs.items()
        if float((theirs - theirs[:1]).abs().max()) > 1e-6
    }
    found |= {"distance": round(reading.distance, 3), "most": round(reading.most, 3), "preset": reading.preset}
    return found | {"words": reader.words(reading)}


@torch.no_grad()
def _known(model: VideoModel, reader: Reader, cases: Sequence[Case], steps: int) -> list[Known]:
    latents = torch.cat([model.encode_video(case.frames) for case in cases])
    text = model.encode_prompt([""] * len(cases))
    inverted = invert(model.denoiser, latents, text, steps=steps, refinements=REFINEMENTS)
    parts = zip(cases, latents.split(1), inverted.split(1), strict=True)
    return [Known(case, clip, noise, reader.read(case.frames, clip)) for case, clip, noise in parts]


def _read_way(reader: Reader, known: Known) -> Way:
    reading = known.reading
    camera = reading.camera if reading.camera_moves else None
    return Way(known, reader.embedding(reading.codes, reading.preset), APPLICATIONS[reading.preset], camera)


def _crossed(reader: Reader, known: Sequence[Known]) -> list[Way]:
    """The object of one clip with the camera of another, by their codes alone."""
    named = {each.case.name: each for each in known}
    ways = []
    for name, camera in CROSSED.items():
        if name in named and camera in named:
            reading, other = named[name].reading, named[camera].reading
            embedding = reader.embedding(reading.crossed(other), "hybrid")
            # The noise of the object's clip would hold the background still.
            ways.append(Way(named[name], embedding, replace(APPLICATIONS["hybrid"], noise_weight=0.0), other.camera))
    return ways


def _videos(model: VideoModel, way: Way, seeds: int, steps: int) -> Tensor:
    """Latents of every prompt with every seed, with the noise that the benchmark gives them."""
    known, application = way.known, way.application
    case = known.case
    pairs = [(i, case.seed(i, seed)) for i in range(len(case.prompts)) for seed in range(seeds)]
    shape = tuple(known.latents.shape)
    held = None
    if way.camera is not None and application.camera_end:
        camera = way.camera.to(model.device)
        apart = known.reading.covers(*shape[3:]) if application.objects else None
        held = CameraAlignment(camera, end=application.camera_end, apart=apart)
        fresh = torch.cat([warped_noise(camera, shape, seed, known.latents) for _, seed in pairs])
    else:
        fresh = torch.cat([random_noise(shape, seed) for _, seed in pairs]).to(known.latents)
    noise = mix(known.inverted, fresh, application.noise_weight)
    patches = [] if way.embedding is None else [application.patch(way.embedding)]
    texts = [case.prompts[i] for i, _ in pairs]
    return model.sample(texts, noise, patches=patches, camera=held, steps=steps, guidance=GUIDANCE, fast=False)


def _trained(
    model: VideoModel,
    known: Sequence[Known],
    begun: Sequence[MotionEmbedding] | None,
    steps: int,
    rate: float | None = None,
) -> list[MotionEmbedding]:
    """Embeddings trained as the preset `object` does, all clips in one batch, from nothing or from these."""
    chosen = preset("object", model.denoiser.backbone)
    settings: TrainingSettings = replace(
        chosen.settings, steps=steps, learning_rate=rate or chosen.settings.learning_rate
    )
    runs = []
    for i, each in enumerate(known):
        _, _, frames, height, width = each.latents.shape
        start = chosen.empty(model.denoiser.backbone, frames, (height, width))
        if begun is not None:
            start = start_of(begun[i], start, settings.train_debias)
        state = TrainingState.start(start, settings, model.device)
        runs.append(TrainingRun(each.latents, model.encode_prompt([each.case.prompt]), state))
    plan = plan_training(model.denoiser, "auto", runs[0].latents.shape, runs[0].state.embedding)
    with accelerated(model.denoiser, plan) as denoiser:
        for _ in train_together(denoiser, runs):
            pass
    return [run.state.learned for run in runs]


def _scores(case: Case, videos: Sequence[Tensor], seeds: int) -> dict[str, float]:
    """Means over the videos: correlation of the object's path with the true one, where it goes anywhere, and the share
    of the prompt's words that the middle frame shows."""
    truth = case.truth
    assert truth is not None
    found: dict[str, list[float]] = {"caption": []}
    for i, video in enumerate(videos):
        found["caption"].append(caption_accuracy(video[8:9], case.prompts[i // seeds]).score)
        if float(truth.position[0].std()) > 1e-6:
            value = path_correlation(object_path(video).points, truth.position[0])
            found.setdefault("path", []).append(value if math.isfinite(value) else 0.0)
    return {name: round(sum(values) / len(values), 4) for name, values in found.items() if values}


def _means(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for each in scores for name in each)
    every = {name: [each[name] for each in scores if name in each] for name in names}
    return {name: round(sum(values) / len(values), 4) for name, values in every.items()}


def _sheet(known: Sequence[Known], made: Mapping[str, Mapping[str, Tensor]], path: Path) -> None:
    """A row of frames of every reference, and of the first video of the first two ways."""
    rows, labels = [], []
    for each in known:
        if each.case.name in SHEET:
            shown = dict(list(made[each.case.name].items())[:2])
            rows += [each.case.frames, *shown.values()]
            labels += [each.case.name, *shown]
    if rows:
        contact_sheet(rows, labels, columns=8, scale=0.5).save(path)
