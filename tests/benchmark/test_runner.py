"""Running on a small model: results are kept, carried on from, and not mistaken for those of another run."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from motion_lib.benchmark import runner
from motion_lib.benchmark.cases import rendered_case
from motion_lib.benchmark.methods.spec import chosen_methods
from motion_lib.benchmark.plan import Job, Plan, Result
from motion_lib.benchmark.report import frechet_distances, write_report
from motion_lib.benchmark.runner import run, stages
from motion_lib.benchmark.worker import Worker
from motion_lib.errors import MotionError
from tests.backbones.folders import build_clip


@pytest.fixture(scope="module")
def finished(folder: str, tmp_path_factory) -> tuple[Plan, list[Result], list[tuple[int, int]]]:
    """One run, what it found, and what was heard of its progress."""
    case = rendered_case("figure_eight", prompts=1, frames=4, size=32)
    methods = chosen_methods(["truth", "no_motion", "object", "object:end=0.9"], ["steps=2"])
    plan = Plan((case,), methods, tmp_path_factory.mktemp("run"), seeds=2, steps=2, guidance=2.0, model=folder)
    calls: list[tuple[int, int]] = []
    return plan, run(plan, 1, lambda *done: calls.append(done)), calls


@pytest.fixture
def plan(finished: tuple[Plan, list[Result], Any], tmp_path: Path) -> Plan:
    """The same, in a folder of the test's own."""
    shutil.copytree(finished[0].out, tmp_path / "run")
    return replace(finished[0], out=tmp_path / "run")


def test_results_hold_every_video(finished: tuple[Plan, list[Result], list[tuple[int, int]]]) -> None:
    plan, results, calls = finished
    # One job for what all share, one for the methods that learn nothing, one for the two that learn the same.
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert [result["method"] for result in results] == list(plan.methods)
    for result in results:
        assert [(video["prompt"], video["seed"]) for video in result["videos"]] == [
            (plan.cases[0].prompts[0], seed) for seed in range(2)
        ]
        assert len(result["spread"]) == 1 and result["seconds"]["sampling"] >= 0
    assert results[0]["bytes"] == 0 < results[2]["bytes"] == results[3]["bytes"]


def same(video: dict[str, Any], other: dict[str, Any]) -> bool:
    """The scores of two videos, but for how several threads round now so, now so."""
    return all(
        theirs == (own if isinstance(own, str) else pytest.approx(own, rel=1e-3, abs=1e-4))
        for own, theirs in ((video[name], other[name]) for name in video | other)
    )


def test_only_what_is_missing_or_was_made_otherwise_is_made(
    plan: Plan, finished: tuple[Any, list[Result], Any]
) -> None:
    calls: list[int] = []
    assert run(plan, 1, lambda done, _: calls.append(done)) == finished[1] and not calls
    plan.result_file(plan.cases[0], "truth").unlink()
    shared = plan.shared_file(plan.cases[0]).stat().st_mtime_ns
    results = run(plan, 1, lambda done, _: calls.append(done))
    assert calls == [1, 2] and plan.shared_file(plan.cases[0]).stat().st_mtime_ns == shared
    for again, before in zip(results, finished[1], strict=True):
        assert all(map(same, again["videos"], before["videos"]))
    for changes in ({"guidance": 3.0}, {"seeds": 1}, {"steps": 3}):
        other = replace(plan, **changes)
        assert all(other.finished(plan.cases[0], name) is None for name in plan.methods)
    changed = replace(plan, methods=plan.methods | chosen_methods(["object"], ["steps=1"]))
    assert changed.finished(plan.cases[0], "object") is None
    assert changed.finished(plan.cases[0], "object:end=0.9") is not None


def test_report_shows_tables_scores_and_pictures(plan: Plan, finished: tuple[Any, list[Result], Any]) -> None:
    groups = {"": ["truth", "object"], "Variants": ["object", "object:end=0.9"]}
    table = write_report(plan, finished[1], "the command", "Title", groups)
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
    plan = replace(plan, methods=methods, seeds=1, text_model=str(build_clip(tmp_path / "clip")))
    results = run(plan, 1, lambda *_: None)
    assert all(-1 <= video["text"] <= 1 and -1 <= video["neighbours"] <= 1 for r in results for video in r["videos"])
    distances = frechet_distances(plan)
    assert distances["no_motion"] == pytest.approx(0, abs=1e-6) and distances["noise_blend"] > 1e-6
    table = write_report(plan, results, "the command", "Title", {"": list(methods)})
    assert "text ↑" in table and "Fréchet ↓" in table


def test_on_a_gpu_clips_are_learned_together(plan: Plan) -> None:
    cases = tuple(rendered_case(motion, 1, frames=4, size=32) for motion in ("figure_eight", "spiral", "pan"))
    methods = chosen_methods(["no_motion", "object", "object:end=0.9", "temporal_lora"])
    plan = replace(plan, cases=cases, methods=methods, device="cuda", out=plan.out / "none")
    shared, learned = stages(plan)
    assert shared == [Job((0,)), Job((1,)), Job((2,))]
    both = ("object", "object:end=0.9")
    assert {(job.cases, job.methods) for job in learned} == {
        ((0, 1, 2), both),
        *(((i,), (name,)) for i in range(3) for name in ("no_motion", "temporal_lora")),
    }
    _, alone = stages(replace(plan, device="cpu"))
    assert {job.cases for job in alone if job.methods == both} == {(0,), (1,), (2,)}


def test_a_job_of_several_cases_finds_what_their_own_jobs_find(
    plan: Plan, finished: tuple[Any, list[Result], Any], tmp_path: Path
) -> None:
    other = rendered_case("spiral", prompts=1, frames=4, size=32)
    plan = replace(plan, cases=(*plan.cases, other), out=tmp_path / "several")
    worker = Worker.start(plan)
    for i in range(2):
        worker.run(Job((i,)))
    for job in worker.run(Job((0, 1), ("object", "object:end=0.9"))):
        assert worker.run(job) == []
    found = plan.finished(plan.cases[0], "object")
    expected = finished[1][2]
    assert found and [v["prompt"] for v in found["videos"]] == [v["prompt"] for v in expected["videos"]]
    for ours, theirs in zip(found["videos"], expected["videos"], strict=True):
        assert ours["leak"] == pytest.approx(theirs["leak"], abs=1e-3)
    assert plan.finished(other, "object:end=0.9")


def test_bad_numbers_are_explained(plan: Plan) -> None:
    with pytest.raises(MotionError, match="0 workers and 2 seeds are too few"):
        run(plan, 0, lambda *_: None)


def test_processes_find_what_one_finds(plan: Plan, finished: tuple[Any, list[Result], Any], tmp_path: Path) -> None:
    together = replace(plan, out=tmp_path / "together", methods=chosen_methods(["no_motion"]))
    (result,) = run(together, 2, lambda *_: None)
    assert result["videos"] == finished[1][1]["videos"]


def sleeps(seconds: float) -> list[Job]:
    time.sleep(seconds)
    return []


def nothing(*given: object) -> None:
    """What a worker of a test begins with."""


def test_an_interrupted_run_does_not_wait_for_what_its_workers_make(plan: Plan, monkeypatch) -> None:
    monkeypatch.setattr(runner, "_work", sleeps)
    monkeypatch.setattr(runner, "_start", nothing)
    workers: list[Any] = []
    with pytest.raises(KeyboardInterrupt), runner._pool(plan, 2) as each:
        for _ in each([0.0, 600.0]):  # type: ignore[list-item]
            workers = multiprocessing.active_children()
            raise KeyboardInterrupt
    # The pool's own thread ends them too: whoever asks while it does may hear of an ended one that it lives.
    deadline = time.monotonic() + 60
    while any(worker.is_alive() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers and not any(worker.is_alive() for worker in workers)
