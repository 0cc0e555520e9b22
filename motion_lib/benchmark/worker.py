"""One process's work: learning, sampling and judging on a model of its own."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..backbones import VideoModel, load_model
from ..backbones.accelerate.recorded_sampling import RecordedDenoiser
from ..diffusion.inversion import REFINEMENTS, invert
from ..diffusion.sampling import random_noise
from ..errors import MotionError
from ..files.atomic import replacing
from ..metrics.clip import ClipModel, load_clip
from ..metrics.diversity import appearance_spread, pixels, sprite_look
from ..sprites import parse_caption
from .cases import Case
from .methods import Reference, Request
from .methods.base import generate
from .methods.untrained import NoMotion
from .plan import Job, Plan, Result
from .scores import Judge
from .sheets import save_strip


@dataclass(frozen=True)
class Known:
    """What a worker knows of a case. unmoved: latents of the videos without motion; seconds: how long they took to
    sample."""

    plan: Plan
    model: VideoModel
    clip: ClipModel | None
    reference: Reference
    request: Request
    unmoved: Tensor
    seconds: float

    @cached_property
    def without(self) -> list[Tensor]:
        """The videos without motion."""
        return decoded(self.model, self.unmoved)

    @cached_property
    def judge(self) -> Judge:
        return Judge(self.reference.case, self.plan.tracker, self.clip)


@dataclass
class Worker:
    """A process's own model, and what it knows of the cases it has worked on."""

    plan: Plan
    model: VideoModel
    clip: ClipModel | None = None
    prepared: dict[str, Known] = field(default_factory=dict)

    @classmethod
    def start(cls, plan: Plan) -> Worker:
        model = load_model(plan.model, "cpu" if plan.part == "judge" else plan.device, plan.dtype)
        if model.device.type == "cuda" and model.denoiser.abilities.fast:
            model = replace(model, denoiser=RecordedDenoiser(model.denoiser))
        return cls(plan, model, None if plan.text_model is None else load_clip(plan.text_model, model.device))

    def run(self, job: Job) -> list[Job]:
        """Returns the jobs that this one makes possible: videos of what several cases have learned in one batch."""
        cases = [self.plan.cases[index] for index in job.cases]
        if not job.methods:
            for case in cases:
                prepare(self.plan, self.model, case)
            return []
        if self.plan.part == "judge":
            for name in job.methods:
                self.judge_made(cases[0], name)
            return []
        if job.learned is not None:
            learned, seconds = job.learned
            self.apply(cases[0], job.methods, pickle.loads(learned), seconds)
            return []
        first: Any = self.plan.methods[job.methods[0]]
        references = [self.known(case).reference for case in cases]
        began = _now(self.model.device)
        if len(cases) == 1:
            learned = first.learn(self.model, references[0])
            self.apply(cases[0], job.methods, learned, _now(self.model.device) - began)
            return []
        learned = first.learn_together(self.model, references)
        seconds = (_now(self.model.device) - began) / len(cases)
        each = zip(job.cases, learned, strict=True)
        # As bytes, because a queue between processes would keep a file open for every tensor.
        return [Job((index,), job.methods, (pickle.dumps(own.to("cpu")), seconds)) for index, own in each]

    def apply(self, case: Case, methods: Sequence[str], learned: Any, learning: float) -> None:
        """Make, judge and write down the videos of methods that learned the same, in so many seconds."""
        known = self.known(case)
        for name in methods:
            method = self.plan.methods[name]
            latents, sampling = known.unmoved, known.seconds
            if method != NoMotion():
                began = _now(self.model.device)
                latents = method.sample(self.model, known.reference, learned, known.request)
                sampling = _now(self.model.device) - began
            shared = method.shared(known.reference, learned)
            costs = {
                "seconds": {"learning": round(learning, 3), "sampling": round(sampling, 3)},
                "bytes": sum(2 * t.numel() for t in shared.values()),  # in half precision, as files are
            }
            if self.plan.part == "make":
                self.keep(case, name, latents, costs)
            else:
                self.finish(case, name, latents.to(self.model.dtype), costs)

    def keep(self, case: Case, method: str, latents: Tensor, costs: dict[str, Any]) -> None:
        """Write videos down, to be judged elsewhere."""
        about = {"made_by": self.plan.description(case, method), "costs": json.dumps(costs)}
        with replacing(self.plan.made_file(case, method)) as temporary:
            save_file({"latents": latents.half().cpu().contiguous()}, temporary, about)

    def judge_made(self, case: Case, method: str) -> None:
        """Judge videos that were written down; raises MotionError where there are none of exactly this plan."""
        path = self.plan.made_file(case, method)
        if not self.plan.is_made(case, method):
            raise MotionError(f"{path} does not hold videos made in this way: make them first, with the same options.")
        with safe_open(path, "pt") as file:
            latents, costs = file.get_tensor("latents"), json.loads(file.metadata()["costs"])
        self.finish(case, method, latents.to(self.model.device, self.model.dtype), costs)

    def finish(self, case: Case, method: str, latents: Tensor, costs: dict[str, Any]) -> None:
        known = self.known(case)
        videos = known.without if self.plan.methods[method] == NoMotion() else decoded(self.model, latents)
        result = judged(self.plan, method, known, videos) | costs
        with replacing(self.plan.result_file(case, method)) as temporary:
            temporary.write_text(json.dumps(result, indent=1), encoding="utf-8")

    def known(self, case: Case) -> Known:
        if case.name not in self.prepared:
            path = self.plan.shared_file(case)
            if not path.is_file():
                raise MotionError(f"{path} is missing: make the videos first, with the same options.")
            shared = torch.load(path, weights_only=True)
            latents, inverted, unmoved = (
                shared[key].to(self.model.device, self.model.dtype) for key in ("latents", "inverted", "unmoved")
            )
            self.prepared[case.name] = Known(
                self.plan,
                self.model,
                self.clip,
                Reference(case, latents, inverted, self.plan.tracker),
                request_of(self.plan, self.model, case),
                unmoved,
                float(shared["seconds"]),
            )
        return self.prepared[case.name]


def prepare(plan: Plan, model: VideoModel, case: Case) -> None:
    """Write the clip's latents and inverted noise, and the videos without motion, unless they are there."""
    if plan.shared_file(case).is_file():
        return
    latents = model.encode_video(case.frames)
    inverted = invert(model.denoiser, latents, model.encode_prompt([""]), steps=plan.steps, refinements=REFINEMENTS)
    request = request_of(plan, model, case)
    began = _now(model.device)
    made = generate(model, request, request.fresh)
    seconds = torch.tensor(_now(model.device) - began)
    shared = {"latents": latents.cpu(), "inverted": inverted.cpu(), "unmoved": made.cpu()}
    with replacing(plan.shared_file(case)) as temporary:
        torch.save({**shared, "seconds": seconds}, temporary)


def decoded(model: VideoModel, latents: Tensor) -> list[Tensor]:
    """Videos uint8 `[f, h, w, 3]` of latents `[b, c, f, h, w]`."""
    return [model.decode_video(part) for part in latents.split(1)]


def request_of(plan: Plan, model: VideoModel, case: Case) -> Request:
    """Every prompt with every seed."""
    pairs = [(i, seed) for i in range(len(case.prompts)) for seed in range(plan.seeds)]
    seeds = tuple(case.seed(i, seed) for i, seed in pairs)
    frames, height, width = case.frames.shape[:3]
    shape = model.latent_shape(frames, width, height)
    fresh = torch.cat([random_noise(shape, seed) for seed in seeds]).to(model.device, model.dtype)
    pictures = tuple(case.pictures[i] for i, _ in pairs) if case.pictures else ()
    return Request(tuple(case.prompts[i] for i, _ in pairs), seeds, fresh, plan.steps, plan.guidance, pictures)


def judged(plan: Plan, method: str, known: Known, videos: list[Tensor]) -> Result:
    """The scores of all videos of one method on one case."""
    case = known.reference.case
    save_strip(plan.strip_file(case, method), videos[:: plan.seeds])
    rows = [
        {"prompt": prompt, "seed": i % plan.seeds, **known.judge(prompt, video, plain)}
        for i, (prompt, video, plain) in enumerate(zip(known.request.prompts, videos, known.without, strict=True))
    ]
    if known.judge.features:
        with replacing(plan.features_file(case, method)) as temporary:
            save_file({"features": torch.cat(known.judge.features).half()}, temporary)
        known.judge.features.clear()
    look = pixels if parse_caption(case.prompts[0]).shape is None else sprite_look
    groups = [videos[i : i + plan.seeds] for i in range(0, len(videos), plan.seeds)] if plan.seeds > 1 else []
    return {
        "case": case.name,
        "method": method,
        "made_by": plan.description(case, method),
        "videos": rows,
        "spread": [appearance_spread(group, look) for group in groups],
    }


def _now(device: torch.device) -> float:
    """Seconds, when the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
