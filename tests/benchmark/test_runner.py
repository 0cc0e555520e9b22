"""Running on a small model: results are kept, carried on from, and not mistaken for those of another run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from motion_lib.benchmark.cases import Case
from motion_lib.benchmark.methods.spec import chosen_methods
from motion_lib.benchmark.report import frechet_distances, write_report
from motion_lib.benchmark.runner import Plan, run
from motion_lib.cli import main
from motion_lib.errors import MotionError
from tests.backbones.folders import build_clip


@pytest.fixture
def plan(folder: str, case: Case, tmp_path: Path) -> Plan:
    methods = chosen_methods(["truth", "no_motion", "object", "object:end=0.9"], ["steps=2"])
    return Plan((case,), methods, tmp_path, seeds=2, steps=2, guidance=2.0, model=folder)


def test_results_hold_every_video_and_a_second_run_makes_none_anew(plan: Plan) -> None:
    calls: list[tuple[int, int]] = []
    results = run(plan, 1, lambda *done: calls.append(done))
    # One job for what all share, one for the methods that learn nothing, one for the two that learn the same.
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert [result["method"] for result in results] == list(plan.methods)
    for result in results:
        assert [(video["prompt"], video["seed"]) for video in result["videos"]] == [
            (prompt, seed) for prompt in plan.cases[0].prompts for seed in range(2)
        ]
        assert len(result["spread"]) == 2 and result["seconds"]["sampling"] >= 0
    assert results[0]["bytes"] == 0 < results[2]["bytes"] == results[3]["bytes"]
    calls.clear()
    assert run(plan, 1, lambda *done: calls.append(done)) == results and not calls


def test_only_what_is_missing_or_was_made_otherwise_is_made(plan: Plan) -> None:
    before = run(plan, 1, lambda *_: None)
    calls: list[int] = []
    plan.result_file(plan.cases[0], "truth").unlink()
    assert [r["videos"] for r in run(plan, 1, lambda done, _: calls.append(done))] == [r["videos"] for r in before]
    assert calls == [1, 2]
    for changes in ({"guidance": 3.0}, {"seeds": 1}, {"steps": 3}):
        other = replace(plan, **changes)
        assert all(other.finished(plan.cases[0], name) is None for name in plan.methods)
    changed = replace(plan, methods=plan.methods | chosen_methods(["object"], ["steps=1"]))
    assert changed.finished(plan.cases[0], "object") is None
    assert changed.finished(plan.cases[0], "object:end=0.9") is not None


def test_report_shows_tables_scores_and_pictures(plan: Plan) -> None:
    groups = {"": ["truth", "object"], "Variants": ["object", "object:end=0.9"]}
    table = write_report(plan, run(plan, 1, lambda *_: None), "the command", "Title", groups)
    assert (
        table.startswith("| method |")
        and table.count("| object |") == 2
        and "### Variants" in table
        and "| object:end=0.9 |" in table
    )
    written = (plan.out / "table.md").read_text(encoding="utf-8")
    assert written.startswith("# Title") and "the command" in written and table in written
    report = json.loads((plan.out / "report.json").read_text())
    assert len(report["results"]) == 4 and report["methods"]["object"].startswith("MotionInversion(")
    assert (plan.out / "table.csv").read_text().count("\n") == 5
    assert (plan.out / "sheets" / "figure_eight.png").stat().st_size > 1000


def test_a_clip_model_adds_its_scores(plan: Plan, tmp_path: Path) -> None:
    methods = chosen_methods(["no_motion", "noise_blend"])
    plan = replace(plan, methods=methods, text_model=str(build_clip(tmp_path / "clip")))
    results = run(plan, 1, lambda *_: None)
    assert all(-1 <= video["text"] <= 1 and -1 <= video["neighbours"] <= 1 for r in results for video in r["videos"])
    distances = frechet_distances(plan)
    assert distances["no_motion"] == pytest.approx(0, abs=1e-6) and distances["noise_blend"] > 1e-6
    table = write_report(plan, results, "the command", "Title", {"": list(methods)})
    assert "text ↑" in table and "Fréchet ↓" in table


def test_bad_numbers_are_explained(plan: Plan) -> None:
    with pytest.raises(MotionError, match="0 workers and 2 seeds are too few"):
        run(plan, 0, lambda *_: None)


def test_the_command(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["benchmark", "motion", "--model", folder, "--out", str(tmp_path), "--device", "cpu"]
    wrong = ["--clip", "a.mp4", "--prompt", "a robot"]
    assert main([*command, *wrong]) == 2 and "as many --clip-prompt as --clip" in capsys.readouterr().err
    assert main([*command, "--methods", "object:speed=1"]) == 2
