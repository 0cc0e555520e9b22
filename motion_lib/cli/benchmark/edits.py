"""What edited motions do to videos, measured on clips whose true motion is known.

This learns the motions of objects and of a camera, edits them (mirror, reverse, retime, loop, strength, curves, camera
of one with object of another, other lengths and sizes), gives them to other objects, and compares the paths that these
take with the true path, edited in the same way. Options of training and motion change the preset of the objects. The
results are edits.md, edits.json and edits.png in the folder --out.

example:
  motion-inversion benchmark edits --device cuda --out edits"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from torch import Tensor

from ...backbones import VideoModel
from ...benchmark.edit_trials import TRIALS, Bench, Trial
from ...camera.measure import beside, camera_of_tracks
from ...camera.trackers import track
from ...files.atomic import replacing
from ...method.application import PATCH
from ...metrics.camera import camera_error
from ...metrics.captions import caption_accuracy, object_path
from ...metrics.leak import sprite_regions
from ...metrics.paths import path_correlation, path_extent
from ...video.sheet import contact_sheet
from ..common import add_model_arguments, add_seed, load, say, without_nan
from ..generate import add_application_arguments
from ..task import chosen_preset
from ..train import add_training_arguments

COLUMNS = {
    "path": "path",
    "unedited": "unedited",
    "extent": "extent",
    "late": "late",
    "camera": "camera",
    "shape": "shape",
    "texture": "texture",
}
LEGEND = (
    "*path*: correlation of the object's path with the true one, edited as the embedding was. *unedited*: with the "
    "true one as it was. *extent*: of the path, in units of the true edited one's. *late*: share of the second half "
    "of the video in the extents of both halves, 0.5 for steady motion. *camera*: correlation of the camera's motion "
    "with the true one. *shape*, *texture*: share of videos whose middle frame shows the prompt's. Means over the "
    "videos; a video in which nothing can be measured counts 0."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("edits"), help="The folder to write to (default: edits).")
    parser.add_argument(
        "--trials", nargs="+", choices=list(TRIALS), default=list(TRIALS), help="Which parts to run (default: all)."
    )
    parser.add_argument(
        "--videos", type=int, default=8, help="How many videos a row has, each with its own prompt (default: 8)."
    )
    parser.add_argument(
        "--sampling-steps", type=int, help="How many steps sampling takes (default: as the model says)."
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="How many processes measure finished videos (default: 2)."
    )
    add_model_arguments(parser)
    add_training_arguments(parser)
    add_application_arguments(parser)
    add_seed(parser)


def run(options: argparse.Namespace) -> None:
    model = load(options)
    steps = options.sampling_steps or model.defaults.steps
    chosen = chosen_preset(options)
    asked = {name: getattr(options, name) for name in (*PATCH, "noise_weight") if getattr(options, name) is not None}
    chosen = replace(chosen, application=replace(chosen.application, **asked))
    bench = Bench(model, options.videos, steps, chosen, options.noise, options.renormalise, options.seed)
    rows: list[tuple[Trial, Future[dict[str, float]]]] = []
    shown: list[tuple[str, Tensor]] = []
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        for trial in chain.from_iterable(TRIALS[name](bench) for name in options.trials):
            videos = made(model, trial, steps)
            trial = replace(trial, noise=trial.noise[:0], patches=())  # what need not travel to another process
            rows.append((trial, pool.submit(scores, trial, videos)))
            shown.append((f"{trial.motion}: {trial.edit}, {trial.way} ({trial.prompts[0]})", videos[0]))
            say(f"{len(rows)}: {shown[-1][0]}")
    results = [
        {"motion": trial.motion, "edit": trial.edit, "way": trial.way, **future.result()} for trial, future in rows
    ]
    with replacing(options.out / "edits.json") as temporary:
        temporary.write_text(json.dumps(without_nan(results), indent=1) + "\n", encoding="utf-8")
    with replacing(options.out / "edits.md") as temporary:
        temporary.write_text("\n".join(markdown(results)) + "\n", encoding="utf-8")
    with replacing(options.out / "edits.png") as temporary:
        contact_sheet([video for _, video in shown], [label for label, _ in shown], scale=0.5).save(temporary)
    print("\n".join(markdown(results)))


def made(model: VideoModel, trial: Trial, steps: int) -> list[Tensor]:
    """The videos of a row, uint8 `[f, h, w, 3]`."""
    return model.generate(trial.prompts, trial.noise, steps=steps, patches=trial.patches, fast=False)


def scores(trial: Trial, videos: Sequence[Tensor]) -> dict[str, float]:
    """Means over the videos of a row; see LEGEND."""
    found = [dict(_scores(trial, *pair)) for pair in zip(trial.prompts, videos, strict=True)]
    return {name: sum(one[name] for one in found) / len(found) for name in found[0]}


def _scores(trial: Trial, prompt: str, video: Tensor) -> Iterator[tuple[str, float]]:
    path, middle = object_path(video).points, len(video) // 2
    yield "path", _or_zero(path_correlation(path, trial.path))
    yield "unedited", _or_zero(path_correlation(path, trial.learned))
    yield "extent", _or_zero(path_extent(path) / path_extent(trial.path))
    early, late = path_extent(path[:middle]), path_extent(path[middle:])
    yield "late", _or_zero(late / max(early + late, 1e-6))
    if trial.camera is not None:
        background = beside(track(video), sprite_regions(video)["object"])
        yield "camera", _or_zero(camera_error(trial.camera, camera_of_tracks(background)).correlation)
    right = caption_accuracy(video[middle : middle + 1], prompt).middle_frame
    for kind in ("shape", "texture"):
        yield kind, float(right[kind])


def _or_zero(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def markdown(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A table for every motion."""
    yield LEGEND
    for motion in dict.fromkeys(row["motion"] for row in results):
        rows = [row for row in results if row["motion"] == motion]
        names = [name for name in COLUMNS if any(name in row for row in rows)]
        yield f"\n## {motion}\n"
        yield f"| edit | how | {' | '.join(COLUMNS[name] for name in names)} |"
        yield f"|---|---|{'---|' * len(names)}"
        for row in rows:
            yield f"| {row['edit']} | {row['way']} | {' | '.join(f'{row[name]:.2f}' for name in names)} |"
