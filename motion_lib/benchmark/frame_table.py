"""The table of the benchmark of frames."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from .frame_trials import FRESH, Ties
from .table import MISSING, mean_of

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


def markdown(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A table for every group."""
    yield f"{LEGEND}\n"
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
