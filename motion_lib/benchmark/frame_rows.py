"""A row of the benchmark of frames: videos of all prompts and seeds, tied in one way. They are judged where they were
made, or kept in a folder, so that one machine makes them and another one, which has OpenCV, judges them."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from ..errors import MotionError
from ..files.atomic import replacing
from ..metrics.clip import ClipModel
from ..metrics.diversity import appearance_spread, sprite_look
from .frame_trials import scores
from .plan import file_name

Which = tuple[int, int]  # a video of a row, by the numbers of its prompt and its seed


@dataclass(frozen=True)
class Row:
    """made_by: all that decides what its videos look like. command: what was asked for. truth: the path `[f, 2]` that
    they should follow, if there is one."""

    number: int
    group: str
    label: str
    prompts: list[str]
    seeds: int
    frames: int
    made_by: list[Any]
    command: str
    truth: list[list[float]] | None = None

    @property
    def name(self) -> str:
        """Of its files."""
        return file_name(f"{self.group} {self.label}")

    @property
    def asked(self) -> list[Which]:
        return [(i, seed) for i in range(len(self.prompts)) for seed in range(self.seeds)]

    def judged(self, videos: list[Tensor], clip: ClipModel | None) -> dict[str, Any]:
        """The scores of its videos, uint8 `[f, h, w, 3]` in the order of `asked`, and how much those of a prompt
        differ."""
        truth = None if self.truth is None else torch.tensor(self.truth)
        found = [scores(video, self.prompts[i], truth, clip) for video, (i, _) in zip(videos, self.asked, strict=True)]
        alike = [videos[i : i + self.seeds] for i in range(0, len(videos), self.seeds)]
        spread = [appearance_spread(each, sprite_look) for each in alike]
        row = {"group": self.group, "label": self.label, "width": videos[0].shape[2]}
        return row | {"videos": found, "spread": spread}


@dataclass(frozen=True)
class KeptVideos:
    """Videos in a folder, which has one of its own for every row: `row.json`, and a picture of every video's frames
    without loss.

    Raises MotionError, naming the file, for one that cannot be read.
    """

    folder: Path

    def begin(self, row: Row) -> None:
        """Make room for a row: videos of its name that were made in another way are removed, others are left."""
        file = self.folder / row.name / "row.json"
        if file.is_file() and _read(file).made_by == json.loads(json.dumps(row.made_by)):
            return
        shutil.rmtree(file.parent, ignore_errors=True)
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(asdict(row), indent=1) + "\n", encoding="utf-8")

    def has(self, row: Row, which: Which) -> bool:
        return self._file(row, which).is_file()

    def write(self, row: Row, which: Which, video: Tensor) -> None:
        """uint8 `[f, h, w, 3]`, as a square of pictures, since none may be larger than 16383 pixels a side."""
        across = math.ceil(math.sqrt(len(video)))
        full = torch.cat([video, video.new_zeros(-len(video) % across, *video.shape[1:])])
        with replacing(self._file(row, which)) as temporary:
            square = rearrange(full, "(down across) h w c -> (down h) (across w) c", across=across)
            Image.fromarray(square.numpy()).save(temporary, "WEBP", lossless=True)

    def read(self, row: Row, which: Which) -> Tensor:
        file, across = self._file(row, which), math.ceil(math.sqrt(row.frames))
        try:
            square = torch.from_numpy(np.array(Image.open(file).convert("RGB")))
            frames = rearrange(
                square,
                "(down h) (across w) c -> (down across) h w c",
                across=across,
                down=math.ceil(row.frames / across),
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise MotionError(
                f"{file} is not a video that was kept here: remove it, and have it made again."
            ) from error
        return frames[: row.frames].contiguous()

    def rows(self) -> list[Row]:
        """All rows that were begun, in their order. Raises MotionError where there are none."""
        found = [_read(file) for file in sorted(self.folder.glob("*/row.json"))]
        if not found:
            raise MotionError(f"{self.folder} holds no videos to judge: make them with --make-only first.")
        return sorted(found, key=lambda row: row.number)

    def missing(self, row: Row) -> Iterator[Which]:
        """Videos of a row that were not made yet."""
        return (which for which in row.asked if not self.has(row, which))

    def _file(self, row: Row, which: Which) -> Path:
        return self.folder / row.name / f"{which[0]}_{which[1]}.webp"


def _read(file: Path) -> Row:
    try:
        return Row(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise MotionError(f"{file} does not describe a row of videos: remove it, and have them made again.") from error
