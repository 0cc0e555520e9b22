"""Running methods on cases: in one process or several, keeping every result as it comes.

A result lies in `<out>/results/<case>/<method>.json`, with the description of what made it; a run that was stopped
carries on with what is missing, and nothing is taken over that was made in another way. What all methods share, the
clip's latents, its inverted noise and the videos without motion, is made once per case. Videos can be made on one
machine, where their latents are kept in `<out>/made`, and judged on another, such as one that has OpenCV.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import partial
from multiprocessing import get_context
from typing import Any

import torch

from ..errors import MotionError
from ..video.frames import opencv
from .plan import Job, Plan, Result
from .worker import Worker

TOGETHER = 16  # cases, learned in one batch


def run(plan: Plan, workers: int, on_done: Callable[[int, int], object]) -> list[Result]:
    """All results, of which those that are missing are made first; `on_done` hears how many jobs are done, of how many.

    Raises MotionError for fewer than one worker or seed, or what a method cannot do.
    """
    if plan.part == "make":
        plan.note_device()
    if workers < 1 or plan.seeds < 1:
        raise MotionError(f"{workers} workers and {plan.seeds} seeds are too few: at least 1 of each is needed.")
    parts = list(stages(plan))
    total, done = sum(map(len, parts)), 0
    if total:
        with _pool(plan, min(workers, total)) as each:
            for jobs in parts:
                for more in each(jobs):
                    total, done = total + more, done + 1
                    on_done(done, total)
    if plan.part == "make":
        return []
    found = [plan.finished(case, method) for case in plan.cases for method in plan.methods]
    return [result for result in found if result is not None]


def stages(plan: Plan) -> Iterator[list[Job]]:
    """First what all methods share, then what is missing, those that take longest first."""
    alike: dict[tuple[str, ...], list[int]] = {}  # cases that lack the same methods, which learn the same
    for index, case in enumerate(plan.cases):
        groups: dict[Any, list[str]] = {}
        for name, method in plan.methods.items():
            if plan.lacks(case, name):
                groups.setdefault(method.recipe, []).append(name)
        for names in groups.values():
            alike.setdefault(tuple(names), []).append(index)
    if plan.part != "judge":
        yield [Job((index,)) for index in sorted({index for cases in alike.values() for index in cases})]
    missing = [Job(part, names) for names, cases in alike.items() for part in _batches(plan, names[0], cases)]
    yield sorted(missing, key=lambda job: -_length(plan, job))


def _batches(plan: Plan, method: str, cases: Sequence[int]) -> list[tuple[int, ...]]:
    """On a GPU, which one small clip does not fill, cases that are learned at once."""
    on_gpu = torch.device(plan.device).type == "cuda" and plan.part != "judge"
    size = TOGETHER if on_gpu and getattr(plan.methods[method], "together", False) else 1
    return [tuple(cases[i : i + size]) for i in range(0, len(cases), size)]


def _length(plan: Plan, job: Job) -> float:
    """About how long a job takes, in calls of the model."""
    if not job.methods:
        return 1
    first = plan.methods[job.methods[0]]
    preset = getattr(first, "preset", first)
    training = getattr(getattr(preset, "settings", None), "steps", 0)
    sampling = len(job.methods) * plan.steps + plan.steps * getattr(first, "iterations", 0)
    return 2 * training + len(job.cases) * sampling


class _pool:
    """Runs jobs: in this process for one worker, else in processes with a model each."""

    def __init__(self, plan: Plan, workers: int):
        self.plan, self.workers = plan, workers

    def __enter__(self) -> Callable[[Sequence[Job]], Iterator[int]]:
        """For every finished job, how many more it has made possible; these are run as well."""
        if self.workers == 1:
            return partial(_one_by_one, Worker.start(self.plan))
        # A GPU's context cannot be forked.
        self.processes = ProcessPoolExecutor(
            self.workers, get_context("spawn"), initializer=_start, initargs=(self.plan, self.workers)
        )
        return self._spread

    def _spread(self, jobs: Sequence[Job]) -> Iterator[int]:
        waiting = {self.processes.submit(_work, job) for job in jobs}
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for each in finished:
                more = each.result()
                waiting |= {self.processes.submit(_work, job) for job in more}
                yield len(more)

    def __exit__(self, kind: object, *exception: object) -> None:
        if self.workers == 1:
            return
        if kind is not None:  # nobody waits for what is being made: files are written whole or not at all
            for process in list((self.processes._processes or {}).values()):
                process.terminate()
        self.processes.shutdown(wait=kind is None, cancel_futures=True)


def _one_by_one(worker: Worker, jobs: Sequence[Job]) -> Iterator[int]:
    waiting = list(jobs)
    while waiting:
        more = worker.run(waiting.pop(0))
        waiting += more
        yield len(more)


_own: Worker | None = None  # of a process of the pool


def _start(plan: Plan, workers: int) -> None:
    global _own
    threads = max(1, (os.cpu_count() or 1) // workers)
    torch.set_num_threads(threads)
    if plan.part != "make":
        opencv().setNumThreads(threads)
    _own = Worker.start(plan)


def _work(job: Job) -> list[Job]:
    assert _own is not None
    return _own.run(job)
