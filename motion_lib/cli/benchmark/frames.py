"""Noise priors and momentum of videos made by an image model, side by side.

An image model makes videos of the same prompts and seeds with every noise prior, at equal similarity and as published,
under every momentum. A video model's videos of these prompts stand beside them. Then, start noise is carried along the
path of a clip's object, and the videos' paths are compared with it.
Results are written to the folder --out as they come, and the same command continues a run that was stopped.
  table.md      means of every score
  frames.json   every score of every video
  frames.png    frames of the first three prompts' videos for each row
This needs OpenCV: pip install "motion-inversion[metrics]".

examples:
  motion-inversion benchmark frames --quick --out quick
  motion-inversion benchmark frames --device cuda --out frames"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...backbones import VideoModel
from ...benchmark.plan import file_name
from ...benchmark.sheets import FRAMES, PROMPTS, SCALE, read_strip, save_strip
from ...benchmark.table import MISSING, mean_of
from ...diffusion.frame_noise import correlations, similarity_of
from ...diffusion.sampling import random_noise
from ...errors import MotionError
from ...files.atomic import replacing
from ...frames_from_images.imagine import imagine
from ...frames_from_images.momentum import Momentum
from ...metrics.clip import ClipModel
from ...video.sheet import contact_sheet
from ..common import add_device_arguments, bar, pick_device, pick_dtype, without_nan

MOMENTA = (0.0, 0.5, 0.9, 0.98, 1.0)
MOTIONS = ("figure_eight", "orbit")
COLUMNS = {
    "caption": "caption ↑",
    "constant": "constant ↑",
    "warp": "warp err ↓",
    "extent": "extent",
    "smooth": "smooth",
    "path": "path ↑",
    "text": "text ↑",
    "neighbours": "neighbours ↑",
    "diversity": "diversity",
}
LEGEND = (
    "*caption*: share of the prompt's words that a frame shows. *constant*: share of frames that show the video's most "
    "frequent colour, shape and texture. *warp err*: mean squared colour error along the optical flow, × 1000; a still "
    "video has none. *extent*: of the object's path, in half image sides. *smooth*: cosine of the object's successive "
    "steps, 1 for a straight line, −.5 for positions that have nothing to do with each other. *path*: correlation with "
    "the path that the noise was carried along. *text*, *neighbours*: cosines by CLIP. *diversity*: how much videos of "
    "one prompt and different seeds differ, 1 for independent noise without momentum. Means over videos."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("frames"), help="The folder to write to (default: frames).")
    parser.add_argument(
        "--model", default="sprite_image", help="The image model: a folder, or sprite_image (default: sprite_image)."
    )
    parser.add_argument(
        "--video-model",
        default="sprite_t2v",
        help="The video model to compare with: a folder, sprite_t2v, or none (default: sprite_t2v).",
    )
    add_device_arguments(parser.add_argument_group("model"))
    parser.set_defaults(dtype="float32")
    group = parser.add_argument_group("what is tried")
    group.add_argument("--quick", action="store_true", help="Try few prompts and sampling steps, for a CPU.")
    prompts = group.add_mutually_exclusive_group()
    prompts.add_argument("--prompts", type=int, help="How many prompts (default: 20; 4 with --quick).")
    prompts.add_argument("--prompt", nargs="+", metavar="TEXT", help="Prompts of your own instead.")
    group.add_argument("--seeds", type=int, default=2, help="How many videos each prompt has (default: 2).")
    group.add_argument("--frames", type=int, default=16, help="How many frames a video has (default: 16).")
    group.add_argument(
        "--momentum", type=float, nargs="+", default=list(MOMENTA), help="Momenta (default: 0 0.5 0.9 0.98 1)."
    )
    group.add_argument(
        "--similarity",
        type=float,
        default=similarity_of("progressive"),
        help="The correlation of neighbours at which priors are compared, beside what is published (default: "
        "progressive noise's, 0.894).",
    )
    group.add_argument(
        "--motions",
        nargs="*",
        default=list(MOTIONS),
        metavar="MOTION",
        help="Motions whose paths the start noise is carried along (default: figure_eight orbit).",
    )
    group.add_argument(
        "--sampling-steps",
        type=int,
        help="How many steps sampling takes (default: as the model says; 10 with --quick).",
    )
    group.add_argument("--guidance", type=float, help="How closely to follow the prompt (default: as the model says).")
    group.add_argument("--batch", type=int, default=4, help="How many videos are made at once (default: 4).")
    group.add_argument("--text-model", metavar="FOLDER", help="A CLIP model, which adds scores of text and frames.")


def run(options: argparse.Namespace) -> None:
    from ...backbones import load_model
    from ...benchmark.cases import rendered_case
    from ...benchmark.frame_trials import followings, prompts_of, ties
    from ...frames_from_images.loading import load_image_model
    from ...metrics.clip import load_clip
    from ...video.frames import opencv

    check(options)
    opencv()  # which the scores need: a run that lacks it is to end before the first videos are made
    prompts = options.prompt or prompts_of(options.prompts or (4 if options.quick else 20))
    device = pick_device(options.device)
    dtype = pick_dtype(options.dtype, device)
    images = load_image_model(options.model, device, dtype)
    videos = None if options.video_model == "none" else load_model(options.video_model, device, dtype)
    bench = Bench(options, prompts, load_clip(options.text_model, device) if options.text_model else None)
    side = min(images.defaults.width, images.defaults.height)
    cases = [rendered_case(motion, 1, options.frames, side) for motion in options.motions]
    momenta = list(dict.fromkeys(options.momentum))
    tied, following = ties(momenta, options.similarity), followings(cases, momenta)

    rows, total = [], len(tied) + len(following) + (videos is not None)
    progress = bar(total, "Benchmark")
    try:
        for trial in tied:
            momentum, exactly = Momentum(trial.momentum), (trial.prior, trial.similarity)
            rows.append(bench.row("Noise and momentum", trial.label, images, trial.start, momentum, exactly=exactly))
            progress.update(1)
        if videos is not None:
            rows.append(bench.row("Noise and momentum", f"{videos.name}, a video model", videos, random_noise))
            progress.update(1)
        for trial in following:
            momentum = Momentum(trial.momentum)
            rows.append(bench.row("Noise along a path", trial.label, images, trial.start, momentum, trial.path))
            progress.update(1)
    finally:
        progress.close()
    bench.write(rows, "motion-inversion " + shlex.join(sys.argv[1:]))


def check(options: argparse.Namespace) -> None:
    """Raises MotionError for a number outside its range, before anything is loaded or made."""
    least = {"prompts": 1, "seeds": 1, "frames": 3, "batch": 1, "sampling_steps": 1}
    for name, lowest in least.items():
        value = getattr(options, name)
        if value is not None and value < lowest:
            raise MotionError(f"--{name.replace('_', '-')} is {value}, but it must be at least {lowest}.")
    correlations("mixed", options.similarity, 2)
    for momentum in options.momentum:
        Momentum(momentum)


@dataclass
class Bench:
    """What all rows share."""

    options: argparse.Namespace
    prompts: list[str]
    clip: ClipModel | None

    def row(
        self,
        group: str,
        label: str,
        model: VideoModel,
        start: Callable[[Sequence[int], int], Tensor],
        momentum: Momentum | None = None,
        truth: Tensor | None = None,
        exactly: Sequence[Any] = (),
    ) -> dict[str, Any]:
        """The scores of every prompt's and seed's video, and how much those of one prompt differ; as they were kept, if
        exactly this was made before. start: noise of a shape from a seed; momentum: None for a video model; exactly:
        what the label rounds."""
        from ...benchmark.frame_trials import scores, seed_of
        from ...metrics.diversity import appearance_spread, sprite_look

        options = self.options
        steps = options.sampling_steps or (10 if options.quick else model.defaults.steps)
        guidance = model.defaults.guidance if options.guidance is None else options.guidance
        shape = model.latent_shape(options.frames, model.defaults.width, model.defaults.height)
        made_by = [group, label, model.name, list(shape), steps, guidance, str(model.device), str(model.dtype)]
        made_by += [options.seeds, self.prompts, options.text_model]
        made_by += [options.video_model if momentum is None else options.model, momentum and momentum.momentum, exactly]
        name = file_name(f"{group} {label}")
        file, strip = options.out / "rows" / f"{name}.json", options.out / "rows" / f"{name}.png"
        if file.is_file() and strip.is_file():
            kept = json.loads(file.read_text(encoding="utf-8"))
            if kept["made_by"] == json.loads(json.dumps(made_by)):
                return kept
        asked = [(i, seed) for i in range(len(self.prompts)) for seed in range(options.seeds)]
        made: list[Tensor] = []
        for first in range(0, len(asked), options.batch):
            part = asked[first : first + options.batch]
            noise = torch.cat([start(shape, seed_of(*which)) for which in part]).to(model.device, model.dtype)
            texts = [self.prompts[i] for i, _ in part]
            if momentum is None:
                made += model.generate(texts, noise, steps=steps, guidance=guidance)
            else:
                latents = imagine(model, texts, noise, momentum, steps=steps, guidance=guidance)
                made += [model.decode_video(latent) for latent in latents.split(1)]
        found = [scores(video, self.prompts[i], truth, self.clip) for video, (i, _) in zip(made, asked, strict=True)]
        alike = [made[i : i + options.seeds] for i in range(0, len(made), options.seeds)]
        spread = [appearance_spread(videos, sprite_look) for videos in alike]
        row = {"made_by": made_by, "group": group, "label": label, "width": made[0].shape[2]}
        row |= {"videos": found, "spread": spread}
        save_strip(strip, made[:: options.seeds])
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(without_nan(row), indent=1) + "\n", encoding="utf-8")
        return without_nan(row)

    def write(self, rows: Sequence[dict[str, Any]], command: str) -> None:
        lines = list(markdown(rows))
        head = [f"```bash\n{command}\n```\n", f"{len(self.prompts)} prompts × {self.options.seeds} seeds."]
        with replacing(self.options.out / "table.md") as temporary:
            temporary.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
        with replacing(self.options.out / "frames.json") as temporary:
            temporary.write_text(json.dumps({"command": command, "rows": rows}, indent=1) + "\n", encoding="utf-8")
        strips = []
        for row in rows:
            file = self.options.out / "rows" / f"{file_name(row['group'] + ' ' + row['label'])}.png"
            strips.append(read_strip(file, row["width"]))
        with replacing(self.options.out / "frames.png") as temporary:
            contact_sheet(strips, [row["label"] for row in rows], FRAMES * PROMPTS, SCALE).save(temporary)
        print("\n".join(lines))
        print(f"Look at {self.options.out / 'frames.png'}; every score is in {self.options.out / 'frames.json'}.")


def markdown(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A table for every group."""
    yield f"{LEGEND}\n"
    from ...benchmark.frame_trials import FRESH, Ties

    independent = Ties(FRESH, 0.0, 0.0).label
    usual = next((mean_of(_known(row["spread"])).value for row in rows if row["label"] == independent), math.nan)
    for group in dict.fromkeys(row["group"] for row in rows):
        own = [row for row in rows if row["group"] == group]
        table = []
        for row in own:
            names = dict.fromkeys(name for video in row["videos"] for name in video)
            means = {name: mean_of(video[name] for video in row["videos"] if name in video) for name in names}
            spread = mean_of(value / usual for value in _known(row["spread"]) if usual > 0)
            table.append((row["label"], {**means, "diversity": spread}))
        shown = [name for name in COLUMNS if any(means[name].count for _, means in table if name in means)]
        yield f"## {group}\n"
        yield f"| | {' | '.join(COLUMNS[name] for name in shown)} |"
        yield f"|---|{'---|' * len(shown)}"
        for label, means in table:
            cells = (str(means[name]) if name in means else MISSING for name in shown)
            yield f"| {label} | {' | '.join(cells)} |"
        yield ""


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]
