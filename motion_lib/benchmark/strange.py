"""What is read of clips in looks that no bundled model was trained on, whatever the look in which they are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from ..backbones import VideoModel
from ..codes.looks import READ_LOOKS, Redraw, read_clip
from ..codes.reader import Reader, Reading
from ..errors import MotionError
from ..metrics.paths import path_correlation
from ..sprites import Scenes
from .cases import foreign_case

RIGHT = 0.9  # correlation of a path that counts as read
STILL = 0.02  # half image sides: a camera that goes less far stands still


def readings(reader: Reader, model: VideoModel, motions: Iterable[str], looks: int) -> list[dict[str, Any]]:
    """One row for every motion, look of the clip, and look in which it can be read."""
    rows = []
    for motion in motions:
        for look in range(looks):
            case = foreign_case(motion, 1, reader.codes.design.frames, model.defaults.width, look)
            assert case.truth is not None
            redraw = _once(partial(model.redraw, case.frames))
            for how in READ_LOOKS:
                try:
                    reading = read_clip(reader, case.frames, how, redraw=redraw)
                except MotionError:  # no still background
                    continue
                rows.append({"motion": motion, "look": look, "read": how, **_against(reading, case.truth)})
    return rows


def _once(draw: Callable[[], Tensor]) -> Redraw:
    """For one clip, which is drawn when it is first asked for."""
    kept = cache(draw)
    return lambda _: kept()


def _against(reading: Reading, truth: Scenes) -> dict[str, Any]:
    moves = truth.position[0].std(dim=0).norm() > STILL
    camera = torch.cat([truth.camera[0], truth.zoom[0].log()[:, None], truth.roll[0][:, None]], dim=1)
    return {
        "as": reading.look,
        "path": round(path_correlation(reading.path, truth.position[0]), 4) if moves else None,
        "camera_error": _error(reading.looks, camera) if (camera - camera[:1]).abs().max() > STILL else None,
        "distance": round(reading.distance / reading.most, 4),
        "warned": reading.warning is not None,
    }


def _error(found: Tensor, true: Tensor) -> float:
    """Of a camera's steps, as a share of the true ones."""
    return round(float((found.diff(dim=0) - true.diff(dim=0)).norm() / true.diff(dim=0).norm()), 4)


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """A line for every look in which clips were read, and the mean over those that could be."""
    lines = [
        "| read | clips | path | path, under a moving camera | camera's error | warned | wrong and not warned |",
        "|---|---|---|---|---|---|---|",
    ]
    for how in READ_LOOKS:
        own = [row for row in rows if row["read"] == how]
        paths = [row for row in own if row["path"] is not None]
        still, moving = ([row for row in paths if (row["camera_error"] is None) == kind] for kind in (True, False))
        errors = [row["camera_error"] for row in own if row["camera_error"] is not None]
        wrong = sum(row["path"] < RIGHT and not row["warned"] for row in paths)
        values = [_mean(row["path"] for row in some) for some in (still, moving)]
        cells = [how, len(own), *values, _mean(errors), sum(row["warned"] for row in own), wrong]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join([*lines, ""])


def _mean(values: Iterable[float]) -> str:
    kept = [value for value in values if math.isfinite(value)]
    return f"{fmean(kept):.3f}" if kept else "–"
