"""One process's work: learning, sampling and judging on a model of its own."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..backbones import VideoModel, load_model
from ..backbones.accelerate.recorded_sampling import RecordedDenoiser
from ..camera.measure import follow_camera
from ..camera.path import CameraPath
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
    """What a worker knows of a case. without: the videos without motion; seconds: how long they took to sample."""

    reference: Reference
    request: Request
    without: list[Tensor]
    seconds: float
    judge: Judge


@dataclass
class Worker:
    """A process's own model, and what it knows of the cases it has worked on."""

    plan: Plan
    model: VideoModel
    clip: ClipModel | None = None
    prepared: dict[str, Known] = field(default_factory=dict)

    @classmethod
    def start(cls, plan: Plan) -> Worker:
        model = load_model(plan.model, plan.device, plan.dtype)
        if model.device.type == "cuda" and model.denoiser.abilities.fast:
            model = replace(model, denoiser=RecordedDenoiser(model.denoiser))
        return cls(plan, model, None if plan.text_model is None else load_clip(plan.text_model, plan.device))

    def run(self, job: Job) -> list[Job]:
        """Returns the jobs that this one makes possible: videos of what several cases have learned in one batch."""
        cases = [self.plan.cases[index] for index in job.cases]
        if not job.methods:
            for case in cases:
                prepare(self.plan, self.model, case)
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
            videos, sampling = known.without, known.seconds
            if method != NoMotion():
                began = _now(self.model.device)
                latents = method.sample(self.model, known.reference, learned, known.request)
                sampling = _now(self.model.device) - began
                videos = decoded(self.model, latents.to(self.model.dtype))
            shared = method.shared(known.reference, learned)
            result = judged(self.plan, name, known, videos) | {
                "seconds": {"learning": round(learning, 3), "sampling": round(sampling, 3)},
                "bytes": sum(2 * t.numel() for t in shared.values()),  # in half precision, as files are
            }
            with replacing(self.plan.result_file(case, name)) as temporary:
                temporary.write_text(json.dumps(result, indent=1), encoding="utf-8")

    def known(self, case: Case) -> Known:
        if case.name not in self.prepared:
            shared = torch.load(self.plan.shared_file(case), weights_only=True)
            latents, inverted = (shared[key].to(self.model.device, self.model.dtype) for key in ("latents", "inverted"))
            self.prepared[case.name] = Known(
                Reference(case, latents, inverted, _camera(self.plan, case)),
                request_of(self.plan, self.model, case),
                list(shared["without"]),
                float(shared["seconds"]),
                Judge(case, self.plan.tracker, self.clip),
            )
        return self.prepared[case.name]


def prepare(plan: Plan, model: VideoModel, case: Case) -> None:
    """Write the clip's latents and inverted noise, and the videos without motion."""
    latents = model.encode_video(case.frames)
    inverted = invert(model.denoiser, latents, model.encode_prompt([""]), steps=plan.steps, refinements=REFINEMENTS)
    request = request_of(plan, model, case)
    began = _now(model.device)
    made = generate(model, request, request.fresh)
    seconds = torch.tensor(_now(model.device) - began)
    shared = {"latents": latents.cpu(), "inverted": inverted.cpu(), "without": torch.stack(decoded(model, made))}
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
    return Request(tuple(case.prompts[i] for i, _ in pairs), seeds, fresh, plan.steps, plan.guidance)


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


def _camera(plan: Plan, case: Case) -> CameraPath | None:
    try:
        return follow_camera(case.frames, plan.tracker)
    except MotionError:  # nothing to follow
        return None


def _now(device: torch.device) -> float:
    """Seconds, when the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
