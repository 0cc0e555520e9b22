"""What the benchmark of frames does with each of its rows: videos are made, kept or judged, and results written."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...backbones import VideoModel
from ...benchmark.frame_rows import KeptVideos, Row, Which
from ...benchmark.frame_table import markdown
from ...benchmark.plan import file_name
from ...benchmark.sheets import FRAMES, PROMPTS, SCALE, read_strip, save_strip
from ...errors import MotionError
from ...files.atomic import replacing
from ...frames_from_images.momentum import Momentum
from ...metrics.clip import ClipModel
from ...video.sheet import contact_sheet
from ..common import bar, say, without_nan


def command() -> str:
    return "motion-inversion " + shlex.join(sys.argv[1:])


@dataclass(frozen=True)
class Maker:
    """Makes the videos of a row. start: noise of a shape from a seed; momentum: None for a video model; exactly: what
    the row's label rounds."""

    options: argparse.Namespace
    model: VideoModel
    start: Callable[[Sequence[int], int], Tensor]
    momentum: Momentum | None = None
    exactly: Sequence[Any] = ()

    def row(self, number: int, group: str, label: str, prompts: list[str], truth: Tensor | None = None) -> Row:
        options, model, momentum = self.options, self.model, self.momentum
        made_by = [group, label, model.name, list(self._shape), *self._sampling, str(model.device), str(model.dtype)]
        made_by += [options.seeds, prompts, options.video_model if momentum is None else options.model]
        made_by += [momentum and momentum.momentum, list(self.exactly)]
        path = None if truth is None else truth.tolist()
        return Row(number, group, label, prompts, options.seeds, options.frames, made_by, command(), path)

    @property
    def _shape(self) -> tuple[int, ...]:
        usual = self.model.defaults
        return self.model.latent_shape(self.options.frames, usual.width, usual.height)

    @property
    def _sampling(self) -> tuple[int, float]:
        """Steps and guidance."""
        options, usual = self.options, self.model.defaults
        steps = options.sampling_steps or (10 if options.quick else usual.steps)
        return steps, usual.guidance if options.guidance is None else options.guidance

    def videos(self, row: Row, part: Sequence[Which]) -> list[Tensor]:
        """uint8 `[f, h, w, 3]`, made together."""
        from ...benchmark.frame_trials import seed_of
        from ...frames_from_images.imagine import imagine

        model, (steps, guidance) = self.model, self._sampling
        noise = torch.cat([self.start(self._shape, seed_of(*which)) for which in part]).to(model.device, model.dtype)
        texts = [row.prompts[i] for i, _ in part]
        if self.momentum is None:
            return model.generate(texts, noise, steps=steps, guidance=guidance)
        latents = imagine(model, texts, noise, self.momentum, steps=steps, guidance=guidance)
        return [model.decode_video(latent) for latent in latents.split(1)]


@dataclass(frozen=True)
class Bench:
    """What becomes of the videos of every row."""

    options: argparse.Namespace
    clip: ClipModel | None

    @property
    def kept(self) -> KeptVideos:
        return KeptVideos(self.options.out / "videos")

    def done(self, maker: Maker, row: Row) -> dict[str, Any] | None:
        """Its scores, or with --make-only nothing: then its videos are kept. What exactly this made before is not made
        again."""
        parts = [row.asked[i : i + self.options.batch] for i in range(0, len(row.asked), self.options.batch)]
        if not self.options.make_only:
            return self._scored(row, lambda: [video for part in parts for video in maker.videos(row, part)])
        self.kept.begin(row)
        for part in parts:
            if any(not self.kept.has(row, which) for which in part):
                for which, video in zip(part, maker.videos(row, part), strict=True):
                    self.kept.write(row, which, video)
        return None

    def judge_kept(self) -> None:
        """Of rows whose videos are all there, which is said of the others."""
        rows, found = self.kept.rows(), []
        whole = [row for row in rows if not any(self.kept.missing(row))]
        progress = bar(len(whole), "Judging")
        try:
            for row in whole:
                found.append(self._scored(row, partial(self._all_kept, row)))
                progress.update(1)
        finally:
            progress.close()
        for row in rows:
            if lacking := sum(1 for _ in self.kept.missing(row)):
                say(f"{row.label}: left out, since {lacking} of its {len(row.asked)} videos were not made yet.")
        if not found:
            raise MotionError(f"No row in {self.kept.folder} has all its videos: let --make-only come further first.")
        self.write(found, [*dict.fromkeys(row.command for row in whole), command()])

    def _all_kept(self, row: Row) -> list[Tensor]:
        return [self.kept.read(row, which) for which in row.asked]

    def _scored(self, row: Row, videos: Callable[[], list[Tensor]]) -> dict[str, Any]:
        """As they were kept, if exactly this was judged before."""
        file, strip = self._rows / f"{row.name}.json", self._rows / f"{row.name}.png"
        made_by = [*row.made_by, self.options.text_model]
        if file.is_file() and strip.is_file():
            kept = json.loads(file.read_text(encoding="utf-8"))
            if kept["made_by"] == json.loads(json.dumps(made_by)):
                return kept
        made = videos()
        scored = without_nan({"made_by": made_by, **row.judged(made, self.clip)})
        save_strip(strip, made[:: row.seeds])
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(scored, indent=1) + "\n", encoding="utf-8")
        return scored

    @property
    def _rows(self) -> Path:
        return self.options.out / "rows"

    def write(self, rows: Sequence[dict[str, Any]], commands: Sequence[str]) -> None:
        lines = list(markdown(rows))
        videos, prompts = len(rows[0]["videos"]), len(rows[0]["spread"])
        asked = "\n".join(commands)
        head = [f"```bash\n{asked}\n```\n", f"{prompts} prompts × {videos // max(1, prompts)} seeds."]
        with replacing(self.options.out / "table.md") as temporary:
            temporary.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
        with replacing(self.options.out / "frames.json") as temporary:
            temporary.write_text(json.dumps({"command": asked, "rows": rows}, indent=1) + "\n", encoding="utf-8")
        strips = []
        for row in rows:
            file = self._rows / f"{file_name(row['group'] + ' ' + row['label'])}.png"
            strips.append(read_strip(file, row["width"]))
        with replacing(self.options.out / "frames.png") as temporary:
            contact_sheet(strips, [row["label"] for row in rows], FRAMES * PROMPTS, SCALE).save(temporary)
        print("\n".join(lines))
        print(f"Look at {self.options.out / 'frames.png'}; every score is in {self.options.out / 'frames.json'}.")
