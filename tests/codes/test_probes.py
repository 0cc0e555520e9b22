"""What is measured of codes: maps that are there are found, what a training is told stays the same, and short runs of
one change each write their rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from motion_lib.backbones.model import VideoModel
from motion_lib.benchmark.probes import applied, fitted, probe
from motion_lib.sprites.groups.clips import GROUP, GroupMaker
from motion_lib.sprites.recipe.codes import ablate, train
from motion_lib.sprites.recipe.codes.lesson import Lesson

from .conftest import noise, small_codes
from .test_recipe import DESIGN, model  # noqa: F401  a fixture


def test_a_linear_map_is_found_and_noise_is_not() -> None:
    x, map = noise(400, 6), noise(7, 2, seed=2)
    y = applied(map, x)
    torch.testing.assert_close(applied(fitted(x, y), x), y, atol=0.05, rtol=0.05)
    assert float(applied(fitted(x, noise(400, 1, seed=3)), noise(400, 6, seed=4)).std()) < 0.3


def test_probes_measure_every_side(model: VideoModel) -> None:  # noqa: F811
    found = probe(small_codes(), GroupMaker(model), groups=4, files=8)
    assert found["r2"].keys() == {"path", "scale", "angle", "camera"}
    assert found["look"].keys() == {"shape", "colour", "tone", "texture"}
    assert -1 <= found["reversed"] <= 1
    assert 0 <= found["found_by_clip"] <= 1 and 0 <= found["found_by_words"] <= 1


def test_a_group_is_told_its_labels_always_or_never(model: VideoModel) -> None:  # noqa: F811
    """Codes of few labels must not see all of them a little."""
    groups, codes = GroupMaker(model).make(12, 3), small_codes().requires_grad_(False)
    read = noise(12 * GROUP, 4, 2, codes.design.width)

    def told(labels: float, picked: list[int]) -> float:
        lesson = Lesson(model.denoiser, torch.zeros(1, 3, 8), labels=labels)
        some = groups.map(lambda x: x[picked])
        told_of = torch.cat([read[i * GROUP : (i + 1) * GROUP] for i in picked])
        return float(lesson.told(codes, told_of, some).get("path", 0))

    alone = [told(0.5, [i]) for i in range(12)]
    assert 0 < sum(loss == 0 for loss in alone) < 12
    chosen = [i for i, loss in enumerate(alone) if loss]
    assert told(0.5, list(range(12))) == pytest.approx(sum(alone) / len(chosen), rel=1e-4)
    assert all(told(1.0, [i]) for i in range(12)) and not any(told(0.0, [i]) for i in range(12))


def test_every_change_writes_its_row(
    model: VideoModel,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = train.train

    def small(*given: Any, **chosen: Any) -> dict[str, Any]:
        usual = {"batch": 1, "first": 2, "most": 3, "renew": 1, "sites": "all"}
        return own(*given, **(chosen | usual | DESIGN | {k: v for k, v in chosen.items() if k == "width"}))

    monkeypatch.setattr(train, "load_model", lambda *given: model)
    monkeypatch.setattr(ablate, "load_model", lambda *given: model)
    monkeypatch.setattr(ablate, "train", small)
    names = ["as it is", "labels none", "encoder: linear", "inputs: masks"]
    ablate.ablate(tmp_path, "cpu", 2, 1, 2, (0, 2), names, files=8)
    ablate.ablate(tmp_path, "cpu", 2, 1, 2, (1, 2), names, files=8)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert sorted(row["change"] for row in rows) == sorted(names)
    assert all(row["r2"] and "gain" in row for row in rows)
