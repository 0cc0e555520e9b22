"""Running methods on cases: in one process or several, keeping every result as it comes.

A result lies in `<out>/results/<case>/<method>.json`, with the description of what made it; a run that was stopped
carries on with what is missing, and nothing is taken over that was made in another way. What all methods share, the
clip's latents, its inverted noise and the videos without motion, is made once per case.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..atomic import replacing
from ..backbones import VideoModel, load_model
from ..errors import MotionError
from ..inversion import REFINEMENTS, invert
from ..metrics.clip import ClipModel, load_clip
from ..metrics.diversity import appearance_spread, pixels, sprite_look
from ..metrics.frames import opencv
from ..sampling import random_noise
from ..sprites import parse_caption
from .cases import Case
from .methods import Method, Reference, Request
from .recorded import RecordedDenoiser
from .scores import Judge
from .sheets import save_strip

Result = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What to run; cases × methods, `seeds` videos of every prompt. text_model: folder of a CLIP, or None."""

    cases: tuple[Case, ...]
    methods: dict[str, Method]
    out: Path
    seeds: int
    steps: int
    guidance: float
    model: str = "sprite_t2v"
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    tracker: str = "lucas_kanade"
    text_model: str | None = None

    def description(self, case: Case, method: str) -> str:
        """The same text means the same result."""
        clip = hashlib.sha256(case.frames.numpy().tobytes()).hexdigest()[:16]
        with_what = (self.model, self.device, str(self.dtype), self.steps, self.guidance, self.tracker, self.text_model)
        return repr((self.methods.get(method), case.prompt, case.prompts, clip, self.seeds, *with_what))

    def result_file(self, case: Case, method: str) -> Path:
        return self.out / "results" / case.name / f"{file_name(method)}.json"

    def strip_file(self, case: Case, method: str) -> Path:
        return self.out / "strips" / case.name / f"{file_name(method)}.png"

    def features_file(self, case: Case, method: str) -> Path:
        return self.out / "features" / case.name / f"{file_name(method)}.safetensors"

    def finished(self, case: Case, method: str) -> Result | None:
        """A result of exactly this plan, if there is one."""
        path = self.result_file(case, method)
        if not path.is_file():
            return None
        result = json.loads(path.read_text(encoding="utf-8"))
        return result if result["made_by"] == self.description(case, method) else None


@dataclass(frozen=True)
class Job:
    """Methods that learn the same on one case; without methods, what all methods share."""

    case: int
    methods: tuple[str, ...] = ()


@dataclass
class Worker:
    """A process's own model, and what it knows of the cases it has worked on."""

    plan: Plan
    model: VideoModel
    clip: ClipModel | None = None
    prepared: dict[str, tuple[Reference, list[Tensor], Judge]] = field(default_factory=dict)

    @classmethod
    def start(cls, plan: Plan) -> Worker:
        model = load_model(plan.model, plan.device, plan.dtype)
        if model.device.type == "cuda" and hasattr(model.denoiser, "unet"):
            model = replace(model, denoiser=RecordedDenoiser(model.denoiser))
        return cls(plan, model, None if plan.text_model is None else load_clip(plan.text_model, plan.device))

    def run(self, job: Job) -> None:
        case = self.plan.cases[job.case]
        if not job.methods:
            return prepare(self.plan, self.model, case)
        if case.name not in self.prepared:
            shared = torch.load(_shared_file(self.plan, case), weights_only=True)
            latents, inverted = (shared[key].to(self.model.device, self.model.dtype) for key in ("latents", "inverted"))
            judge = Judge(case, self.plan.tracker, self.clip)
            self.prepared[case.name] = Reference(case, latents, inverted), list(shared["without"]), judge
        reference, without, judge = self.prepared[case.name]
        began = _now(self.model.device)
        learned = self.plan.methods[job.methods[0]].learn(self.model, reference)
        learning = _now(self.model.device) - began
        request = request_of(self.plan, self.model, case)
        for name in job.methods:
            method = self.plan.methods[name]
            began = _now(self.model.device)
            latents = method.sample(self.model, reference, learned, request)
            sampling = _now(self.model.device) - began
            videos = [self.model.decode_video(part) for part in latents.to(self.model.dtype).split(1)]
            shared = method.shared(reference, learned)
            result = judged(self.plan, case, name, request, videos, without, judge) | {
                "seconds": {"learning": round(learning, 3), "sampling": round(sampling, 3)},
                "bytes": sum(2 * t.numel() for t in shared.values()),  # in half precision, as files are
            }
            with replacing(self.plan.result_file(case, name)) as temporary:
                temporary.write_text(json.dumps(result, indent=1), encoding="utf-8")


def prepare(plan: Plan, model: VideoModel, case: Case) -> None:
    """Write the clip's latents and inverted noise, and the videos without motion."""
    from .methods.base import generate

    latents = model.encode_video(case.frames)
    inverted = invert(model.denoiser, latents, model.encode_prompt([""]), steps=plan.steps, refinements=REFINEMENTS)
    request = request_of(plan, model, case)
    made = generate(model, request, request.fresh)
    without = torch.stack([model.decode_video(part) for part in made.split(1)])
    with replacing(_shared_file(plan, case)) as temporary:
        torch.save({"latents": latents.cpu(), "inverted": inverted.cpu(), "without": without}, temporary)


def request_of(plan: Plan, model: VideoModel, case: Case) -> Request:
    """Every prompt with every seed."""
    pairs = [(i, seed) for i in range(len(case.prompts)) for seed in range(plan.seeds)]
    seeds = tuple(case.seed(i, seed) for i, seed in pairs)
    frames, height, width = case.frames.shape[:3]
    shape = model.latent_shape(frames, width, height)
    fresh = torch.cat([random_noise(shape, seed) for seed in seeds]).to(model.device, model.dtype)
    return Request(tuple(case.prompts[i] for i, _ in pairs), seeds, fresh, plan.steps, plan.guidance)


def judged(
    plan: Plan, case: Case, method: str, request: Request, videos: list[Tensor], without: list[Tensor], judge: Judge
) -> Result:
    """The scores of all videos of one method on one case."""
    save_strip(plan.strip_file(case, method), videos[:: plan.seeds])
    rows = [
        {"prompt": prompt, "seed": i % plan.seeds, **judge(prompt, video, plain)}
        for i, (prompt, video, plain) in enumerate(zip(request.prompts, videos, without, strict=True))
    ]
    if judge.features:
        with replacing(plan.features_file(case, method)) as temporary:
            save_file({"features": torch.cat(judge.features).half()}, temporary)
        judge.features.clear()
    look = pixels if parse_caption(case.prompts[0]).shape is None else sprite_look
    groups = [videos[i : i + plan.seeds] for i in range(0, len(videos), plan.seeds)] if plan.seeds > 1 else []
    return {
        "case": case.name,
        "method": method,
        "made_by": plan.description(case, method),
        "videos": rows,
        "spread": [appearance_spread(group, look) for group in groups],
    }


def run(plan: Plan, workers: int, on_done: Callable[[int, int], object]) -> list[Result]:
    """All results, of which those that are missing are made first; `on_done` hears how many jobs are done, of how many.

    Raises MotionError for fewer than one worker or seed, or what a method cannot do.
    """
    if workers < 1 or plan.seeds < 1:
        raise MotionError(f"{workers} workers and {plan.seeds} seeds are too few: at least 1 of each is needed.")
    stages = list(_stages(plan))
    total, done = sum(map(len, stages)), 0
    with _pool(plan, min(workers, max(1, total))) as each:
        for jobs in stages:
            for _ in each(jobs):
                done += 1
                on_done(done, total)
    found = [plan.finished(case, method) for case in plan.cases for method in plan.methods]
    return [result for result in found if result is not None]


def _stages(plan: Plan) -> Iterator[list[Job]]:
    """First what all methods share, then what is missing, those that take longest first."""
    missing: list[Job] = []
    for index, case in enumerate(plan.cases):
        groups: dict[Any, list[str]] = {}
        for name, method in plan.methods.items():
            if plan.finished(case, name) is None:
                groups.setdefault(method.recipe, []).append(name)
        missing += [Job(index, tuple(names)) for names in groups.values()]
    needed = sorted({job.case for job in missing})
    yield [Job(index) for index in needed]
    yield sorted(missing, key=lambda job: -_length(plan, job))


def _length(plan: Plan, job: Job) -> float:
    """About how long a job takes, in calls of the model."""
    first = plan.methods[job.methods[0]]
    preset = getattr(first, "preset", first)
    training = getattr(getattr(preset, "settings", None), "steps", 0)
    return 2 * training + len(job.methods) * plan.steps + plan.steps * getattr(first, "iterations", 0)


class _pool:
    """Runs jobs: in this process for one worker, else in processes with a model each."""

    def __init__(self, plan: Plan, workers: int):
        self.plan, self.workers = plan, workers

    def __enter__(self) -> Callable[[Sequence[Job]], Iterator[None]]:
        if self.workers == 1:
            worker = Worker.start(self.plan)
            return lambda jobs: (worker.run(job) for job in jobs)
        # A GPU's context cannot be forked.
        self.processes = ProcessPoolExecutor(
            self.workers, get_context("spawn"), initializer=_start, initargs=(self.plan, self.workers)
        )
        return self._spread

    def _spread(self, jobs: Sequence[Job]) -> Iterator[None]:
        for finished in as_completed([self.processes.submit(_work, job) for job in jobs]):
            yield finished.result()

    def __exit__(self, kind: object, *exception: object) -> None:
        if self.workers > 1:
            self.processes.shutdown(wait=kind is None, cancel_futures=True)


_own: Worker | None = None  # of a process of the pool


def _start(plan: Plan, workers: int) -> None:
    import os

    global _own
    threads = max(1, (os.cpu_count() or 1) // workers)
    torch.set_num_threads(threads)
    opencv().setNumThreads(threads)
    _own = Worker.start(plan)


def _work(job: Job) -> None:
    assert _own is not None
    _own.run(job)


def _now(device: torch.device) -> float:
    """Seconds, when the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _shared_file(plan: Plan, case: Case) -> Path:
    made_by = hashlib.sha256(plan.description(case, "").encode()).hexdigest()[:12]
    return plan.out / "shared" / f"{case.name}-{made_by}.pt"


def file_name(method: str) -> str:
    return re.sub(r"[^\w.=-]+", "_", method)
