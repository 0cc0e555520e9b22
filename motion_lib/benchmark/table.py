"""Results as tables: mean ± standard error over motions × prompts × seeds."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .scores import COLUMNS

Result = Mapping[str, Any]
MISSING = "–"
# In a table without further wishes; the CSV and JSON hold all.
SHORT = (
    "path",
    "speed_error",
    "size",
    "turn",
    "camera",
    "camera_error",
    "fidelity",
    "caption",
    "shape",
    "texture",
    "leak",
    "warp",
    "text",
    "neighbours",
)


@dataclass(frozen=True)
class Mean:
    """error: the standard error of the mean, s/√n, NaN for a single value. count: n, the values there were."""

    value: float
    error: float
    count: int

    def __str__(self) -> str:
        if not self.count:
            return MISSING
        error = "" if math.isnan(self.error) else f" ±{self.error:.3f}".replace("0.", ".", 1)
        return f"{self.value:.3f}{error}"


@dataclass(frozen=True)
class Line:
    """One method. scores: by column. spread: appearance over seeds as a ratio to no motion, NaN without seeds or
    without no_motion. frechet: distance of CLIP features to no motion's, NaN without a CLIP. learning, sampling:
    seconds per motion; bytes: of what is shared."""

    method: str
    videos: int
    scores: dict[str, Mean]
    spread: float
    frechet: float
    learning: float
    sampling: float
    bytes: float


def mean_of(values: Iterable[float]) -> Mean:
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return Mean(math.nan, math.nan, 0)
    mean = sum(known) / len(known)
    if len(known) == 1:
        return Mean(mean, math.nan, 1)
    variance = sum((value - mean) ** 2 for value in known) / (len(known) - 1)
    return Mean(mean, math.sqrt(variance / len(known)), len(known))


def lines(
    results: Sequence[Result],
    methods: Sequence[str],
    cases: Sequence[str] | None = None,
    frechet: Mapping[str, float] | None = None,
) -> list[Line]:
    """One line per method, over these cases or all; methods without results are left out."""
    chosen = [result for result in results if cases is None or result["case"] in cases]
    usual = _spread([result for result in chosen if result["method"] == "no_motion"])
    table = []
    for method in methods:
        own = [result for result in chosen if result["method"] == method]
        if not own:
            continue
        videos = [video for result in own for video in result["videos"]]
        scores = {name: mean_of(video[name] for video in videos if name in video) for name in COLUMNS}
        table.append(
            Line(
                method,
                len(videos),
                scores,
                _spread(own) / usual if usual > 0 else math.nan,
                (frechet or {}).get(method, math.nan),
                mean_of(result["seconds"]["learning"] for result in own).value,
                mean_of(result["seconds"]["sampling"] for result in own).value,
                mean_of(result["bytes"] for result in own).value,
            )
        )
    return table


def markdown(table: Sequence[Line], columns: Sequence[str] = SHORT) -> str:
    """Columns without any value are left out."""
    shown = _shown(table, columns)
    arrows = {1: " ↑", -1: " ↓", 0: ""}
    headings = [COLUMNS[name].heading + arrows[COLUMNS[name].better] for name in shown]
    totals = {
        "diversity": [_number(line.spread, 2) for line in table],
        "Fréchet ↓": [_number(line.frechet, 3) for line in table],
        "learning s": [_number(line.learning, 1) for line in table],
        "sampling s": [_number(line.sampling, 1) for line in table],
        "file MB": [_number(line.bytes / 1e6, 2) for line in table],
    }
    totals = {heading: cells for heading, cells in totals.items() if set(cells) != {MISSING}}
    rows = [["method", *headings, *totals]]
    rows.append(["---"] * len(rows[0]))
    for i, line in enumerate(table):
        rows.append(
            [line.method, *(str(line.scores[name]) for name in shown), *(cells[i] for cells in totals.values())]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def as_csv(table: Sequence[Line]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = [part for name in COLUMNS for part in (name, f"{name}_error_of_mean", f"{name}_count")]
    writer.writerow(
        ["method", "videos", *names, "diversity", "frechet", "learning_seconds", "sampling_seconds", "bytes"]
    )
    for line in table:
        values = [part for name in COLUMNS for part in _parts(line.scores[name])]
        totals = [line.spread, line.frechet, line.learning, line.sampling, line.bytes]
        writer.writerow([line.method, line.videos, *values, *(_number(value, 6, "") for value in totals)])
    return buffer.getvalue()


def legend(table: Sequence[Line], columns: Sequence[str] = SHORT) -> str:
    """What the columns of `markdown` are."""
    known = [f"- *{COLUMNS[name].heading}*: {COLUMNS[name].about}" for name in _shown(table, columns)]
    return "\n".join([*known, "- *diversity*: spread of appearance over seeds, 1 for that of no motion"]) + "\n"


def _shown(table: Sequence[Line], columns: Sequence[str]) -> list[str]:
    return [name for name in columns if any(line.scores[name].count for line in table)]


def _spread(results: Sequence[Result]) -> float:
    return mean_of(value for result in results for value in result["spread"]).value


def _parts(mean: Mean) -> tuple[str, str, int]:
    return _number(mean.value, 6, ""), _number(mean.error, 6, ""), mean.count


def _number(value: float, digits: int, missing: str = MISSING) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else missing
