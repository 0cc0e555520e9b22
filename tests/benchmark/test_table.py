"""Means, standard errors, and how they are shown."""

from __future__ import annotations

import csv
import io
import math

import pytest

from motion_lib.benchmark.table import Mean, as_csv, legend, lines, markdown, mean_of


def result(case: str, method: str, path: list[float], spread: list[float]) -> dict:
    videos = [{"prompt": "p", "seed": i, "path": value, "caption": 1.0} for i, value in enumerate(path)]
    seconds = {"learning": 2.0 * len(case), "sampling": 1.0}
    return {"case": case, "method": method, "videos": videos, "spread": spread, "seconds": seconds, "bytes": 5e5}


RESULTS = [
    result("a", "no_motion", [0.0, 0.2], [0.4]),
    result("a", "object", [0.9, 1.0], [0.3]),
    result("bb", "object", [0.8], [0.1]),
]


def test_mean_and_standard_error() -> None:
    mean = mean_of([1.0, 2.0, 4.0, math.nan])
    assert mean.value == pytest.approx(7 / 3) and mean.count == 3
    # s² = ((4/3)² + (1/3)² + (5/3)²) / 2 = 7/3, and s/√3
    assert mean.error == pytest.approx(math.sqrt(7 / 9))
    assert math.isnan(mean_of([3.0]).error) and mean_of([math.nan]).count == 0


def test_lines_are_over_all_videos_and_keep_the_order_of_methods() -> None:
    first, second = lines(RESULTS, ["object", "no_motion", "absent"])
    assert (first.method, first.videos, second.method) == ("object", 3, "no_motion")
    assert first.scores["path"].value == pytest.approx(0.9) and first.scores["camera"].count == 0
    assert first.spread == pytest.approx(0.2 / 0.4) and second.spread == 1
    assert first.learning == 3 and first.bytes == 5e5
    assert lines(RESULTS, ["object"], ["bb"])[0].scores["path"] == Mean(0.8, pytest.approx(math.nan, nan_ok=True), 1)


def test_markdown_shows_what_was_measured() -> None:
    table = markdown(lines(RESULTS, ["no_motion", "object"]))
    head, rule, none, own = table.splitlines()
    assert head == "| method | path ↑ | caption ↑ | diversity | learning s | sampling s | file MB |"
    assert rule == "| --- | --- | --- | --- | --- | --- | --- |"
    assert none == "| no_motion | 0.100 ±.100 | 1.000 ±.000 | 1.00 | 2.0 | 1.0 | 0.50 |"
    assert own == "| object | 0.900 ±.058 | 1.000 ±.000 | 0.50 | 3.0 | 1.0 | 0.50 |"
    meaning = legend(lines(RESULTS, ["no_motion", "object"]))
    assert "the object's path" in meaning and "camera" not in meaning


def test_csv_holds_every_column() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(lines(RESULTS, ["no_motion", "object"])))))
    assert [row["method"] for row in rows] == ["no_motion", "object"]
    assert float(rows[1]["path"]) == pytest.approx(0.9) and rows[1]["path_count"] == "3"
    assert rows[1]["camera"] == "" and rows[1]["camera_count"] == "0" and rows[1]["bytes"] == "500000.000000"
