"""The trials of `benchmark edits`: which motions are learned, what is made of them, and what should come out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from ..backbones import VideoModel
from ..camera.motion import CameraMotion
from ..diffusion.noise import mix
from ..diffusion.sampling import random_noise
from ..method import algebra, joining
from ..method.application import usual_patch
from ..method.embedding import MotionEmbedding
from ..method.latent_edits import edited_like
from ..method.patch import MotionPatch
from ..method.records import Origin
from ..method.resample import rows_at
from ..metrics.camera import true_camera
from ..sprites import render
from ..training.loop import train
from ..training.presets import PRESETS, Preset
from ..training.state import TrainingState
from .cases import Case, as_frames, rendered_case

OBJECTS = ("figure_eight", "spiral")
SLOW = "zigzag"  # even at double speed not faster than what the bundled model was trained on
FASTER = ("retime 2", "loop there_and_back")
CAMERA = "pan"
SHAPES = ((8, 128), (24, 128), (32, 128), (48, 128), (16, 96), (16, 192), (16, 256))  # frames, pixels
FADING = ((0.0, 1.0), (1.0, 0.0))
EARLY = ((0.0, 1.0), (0.5, 0.0))


def _flipped(path: Tensor, x: float, y: float) -> Tensor:
    return path * torch.tensor([x, y])


def _at(path: Tensor, positions: Tensor) -> Tensor:
    return rows_at(path[None], positions)[0]


Change = tuple[Callable[[MotionEmbedding], MotionEmbedding], Callable[[Tensor], Tensor]]
# What is done to the embedding, and to the path `[f, 2]` that it was learned from.
EDITS: dict[str, Change] = {
    "as learned": (lambda e: e, lambda p: p),
    "mirror horizontal": (algebra.mirror, lambda p: _flipped(p, -1, 1)),
    "mirror vertical": (lambda e: algebra.mirror(e, "vertical"), lambda p: _flipped(p, 1, -1)),
    "reverse": (algebra.reverse, lambda p: p.flip(0)),
    "reverse, baked before": (lambda e: algebra.reverse(algebra.baked(e)), lambda p: p.flip(0)),
    "retime 2": (lambda e: algebra.retime(e, 2.0), lambda p: _at(p, algebra.retimed(len(p), 2.0))),
    "retime 0.5": (lambda e: algebra.retime(e, 0.5), lambda p: _at(p, algebra.retimed(len(p), 0.5))),
    "loop there_and_back": (algebra.loop, lambda p: _at(p, algebra.there_and_back(len(p)))),
    "loop close": (lambda e: algebra.loop(e, "close"), lambda p: p),
    "scale 0.5": (lambda e: algebra.scale(e, 0.5), lambda p: p),
    "scale -1": (lambda e: algebra.scale(e, -1.0), lambda p: p),
}


@dataclass(frozen=True)
class Trial:
    """One row of the report. noise: `[b, c, f, h, w]`, a start noise for each prompt. path: `[f, 2]`, what the object
    should do, and learned: what it did in the reference. camera: what that should do, where it is asked."""

    motion: str
    edit: str
    way: str
    prompts: tuple[str, ...]
    noise: Tensor
    patches: tuple[MotionPatch, ...]
    path: Tensor
    learned: Tensor
    camera: CameraMotion | None = None


@dataclass(frozen=True)
class Bench:
    """A model and how it is used: videos of a row, sampling steps, the preset of the object's motions, and the kind of
    start noise."""

    model: VideoModel
    videos: int
    steps: int
    preset: Preset = PRESETS["object"]
    noise: str = "blend"
    renormalise: bool = False
    seed: int = 0
    learned: dict[str, MotionEmbedding] = field(default_factory=dict)  # the object's motions, by name

    def object(self, case: Case) -> MotionEmbedding:
        if case.name not in self.learned:
            self.learned[case.name] = self.learn(case, self.preset)
        return self.learned[case.name]

    def learn(self, case: Case, chosen: Preset) -> MotionEmbedding:
        """An embedding that says how the preset applies it."""
        latents = self.model.encode_video(case.frames)
        empty = chosen.empty(self.model.denoiser.backbone, latents.shape[2], (latents.shape[3], latents.shape[4]))
        state = TrainingState.start(empty, chosen.settings, self.model.device)
        for _ in train(self.model.denoiser, latents, self.model.encode_prompt([case.prompt]), state):
            pass
        return replace(state.learned, origin=Origin(title=case.name), advice=chosen.application.advice())

    def inverted(self, latents: Tensor) -> Tensor:
        """Noise of clips `[b, c, f, h, w]`, all at once."""
        return self.model.invert(latents, steps=self.steps, fast=False)

    def mixed(self, inverted: Tensor, fresh: Tensor) -> Tensor:
        return mix(inverted, fresh, self.preset.application.noise_weight, self.noise, self.renormalise)

    def fresh(self, case: Case, like: Tensor) -> Tensor:
        """`[videos, c, f, h, w]`: every video has its own noise, the same for every edit."""
        shape = (1, *like.shape[1:])
        return torch.cat([random_noise(shape, case.seed(i, self.seed)) for i in range(self.videos)]).to(like)


def alone(embedding: MotionEmbedding) -> MotionPatch:
    """In the whole of sampling, as it was trained: what the embedding does without the help of noise."""
    return MotionPatch(embedding)


def object_trials(bench: Bench, motion: str, edits: Sequence[str] = tuple(EDITS)) -> Iterator[Trial]:
    """Edits of one motion: as advised, with noise of the equally edited clip; alone, from fresh noise; that noise
    without an embedding; and, where the edit moves the clip too, with the noise of the clip as it was."""
    case = rendered_case(motion, bench.videos)
    assert case.truth is not None
    embedding = bench.object(case)
    path, latents = case.truth.position[0], bench.model.encode_video(case.frames)
    edited = {name: change(embedding) for name, (change, _) in EDITS.items() if name in edits}
    noises = bench.inverted(torch.cat([edited_like(e, latents) for e in edited.values()])).split(1)
    inverted, fresh = dict(zip(edited, noises, strict=True)), bench.fresh(case, latents)

    def trial(edit: str, way: str, noise: Tensor, *patches: MotionPatch) -> Trial:
        wanted = EDITS[edit][1](path) if edit in EDITS else path
        return Trial(motion, edit, way, case.prompts, noise, patches, wanted, path)

    for edit, e in edited.items():
        usual = usual_patch(e)
        mixed = bench.mixed(inverted[edit], fresh)
        yield trial(edit, "as advised", mixed, usual)
        yield trial(edit, "embedding alone", fresh, alone(e))
        moved = not torch.equal(edited_like(e, latents), latents)
        if moved:
            old = bench.mixed(inverted["as learned"], fresh)
            yield trial(edit, "noise of the clip as it was", old, usual)
        if moved or edit == "as learned":
            yield trial(edit, "noise alone", mixed)
    yield trial("curve over frames 1 to 0", "embedding alone", fresh, replace(alone(embedding), frame_curve=FADING))
    yield trial("curve over sampling 1 to 0", "embedding alone", fresh, replace(alone(embedding), curve=EARLY))


def limit_trials(bench: Bench) -> Iterator[Trial]:
    """Embeddings learned from clips that really move as the edited motion should: what the model can follow at all."""
    usual = rendered_case(OBJECTS[0], bench.videos)
    assert usual.truth is not None
    learned = usual.truth.position[0]
    for edit in FASTER:
        path = EDITS[edit][1](learned)
        scenes = replace(usual.truth, position=path[None])
        case = replace(usual, name=f"{usual.name}, {edit}", truth=scenes, frames=as_frames(render(scenes)[0]))
        latents = bench.model.encode_video(case.frames)
        fresh, embedding = bench.fresh(usual, latents), bench.object(case)
        mixed = bench.mixed(bench.inverted(latents), fresh)
        for way, noise, patch in (
            ("learned from such a clip, as advised", mixed, usual_patch(embedding)),
            ("learned from such a clip, embedding alone", fresh, alone(embedding)),
        ):
            yield Trial(f"{OBJECTS[0]}, limits", edit, way, usual.prompts, noise, (patch,), path, learned)


def camera_trials(bench: Bench) -> Iterator[Trial]:
    """The camera of one clip with the object of another; what each does alone comes first."""
    case, other = rendered_case(CAMERA, bench.videos), rendered_case(OBJECTS[0], bench.videos)
    assert case.truth is not None and other.truth is not None
    camera, path = true_camera(case.truth, 0), other.truth.position[0]
    usual, plain = PRESETS["camera"], bench.object(other)
    published = replace(usual, sites="all", components="qk", application=replace(usual.application, strength_v=0.0))
    pan, timing = bench.learn(case, usual), bench.learn(case, published)
    latents = torch.cat([bench.model.encode_video(c.frames) for c in (case, other)])
    of_camera, of_object = bench.inverted(latents).split(1)
    fresh = bench.fresh(case, latents)
    noises = {
        "half of the camera's noise": math.sqrt(0.5) * of_camera + math.sqrt(0.5) * fresh,
        "half of the object's noise": math.sqrt(0.5) * of_object + math.sqrt(0.5) * fresh,
        "a quarter of each noise": 0.5 * of_camera + 0.5 * of_object + math.sqrt(0.5) * fresh,
    }
    ways: dict[str, tuple[MotionPatch, ...]] = {
        "neither": (),
        "camera": (usual_patch(pan),),
        "object": (usual_patch(plain),),
        "both applied": (usual_patch(pan), usual_patch(plain)),
        "combine": (usual_patch(joining.combine(timing, plain)),),
        "add, both baked": (usual_patch(joining.add(algebra.baked(pan), algebra.baked(plain))),),
        "camera, query-key alone": (usual_patch(timing),),
        "both and query-key": (usual_patch(timing), usual_patch(pan), usual_patch(plain)),
    }
    for edit, patches in ways.items():
        for way, noise in noises.items():
            yield Trial(f"{CAMERA} + {OBJECTS[0]}", edit, way, case.prompts, noise, patches, path, path, camera)


def shape_trials(bench: Bench) -> Iterator[Trial]:
    """The same embedding at other lengths and sizes, beside noise alone: a model that cannot make such videos cannot
    move them either."""
    embedding = bench.object(rendered_case(OBJECTS[0], bench.videos))
    for frames, size in SHAPES:
        case = rendered_case(OBJECTS[0], bench.videos, frames, size)
        assert case.truth is not None
        path, latents = case.truth.position[0], bench.model.encode_video(case.frames)
        fresh = bench.fresh(case, latents)
        mixed = bench.mixed(bench.inverted(latents), fresh)
        edit = f"{frames} frames, {size} pixels"
        for way, noise, patches in (
            ("as advised", mixed, (usual_patch(embedding),)),
            ("embedding alone", fresh, (alone(embedding),)),
            ("noise alone", mixed, ()),
        ):
            yield Trial(f"{OBJECTS[0]}, other shapes", edit, way, case.prompts, noise, patches, path, path)


TRIALS: dict[str, Callable[[Bench], Iterator[Trial]]] = {
    **{motion: partial(object_trials, motion=motion) for motion in OBJECTS},
    SLOW: partial(object_trials, motion=SLOW, edits=("as learned", "retime 0.5", *FASTER)),
    "limits": limit_trials,
    "camera": camera_trials,
    "shapes": shape_trials,
}
