"""Learning with a progress bar, stopping without loss, and carrying on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..backbones.accelerate.training_modes import accelerated, plan_training
from ..errors import MotionError
from ..files.embedding_file import load_embedding, save_embedding
from ..method.embedding import MotionEmbedding
from ..training.checkpoints import load_checkpoint, save_checkpoint
from ..training.familiar import warning
from ..training.identity import difference
from ..training.interrupts import stoppable
from ..training.loop import train
from ..training.selection import Candidate, Keeper
from ..training.state import TrainingState
from .common import bar, say

if TYPE_CHECKING:
    from torch import Tensor

    from ..backbones import VideoModel
    from ..method.records import Origin
    from ..training.presets import Preset

SAVE_EVERY = 100  # steps
# What to do where a clip's own look is far from the model's.
LOOK = "train with --look neutral_background, flat_object or redrawn, or take what the command read makes of it"


def checkpoint_of(out: Path) -> Path:
    """Where an unfinished run is kept, beside its result."""
    return out.with_name(f"{out.stem}.unfinished.safetensors")


def partial_of(out: Path) -> Path:
    """Where the motion so far is kept when a finished one stands at `out`."""
    return out.with_name(f"{out.stem}.partial.safetensors")


def candidate_of(out: Path, step: int) -> Path:
    """Where the embedding as it was after a step is kept, beside the result."""
    return out.with_name(f"{out.stem}.step{step}.safetensors")


def learn(
    model: VideoModel,
    latents: Tensor,
    prompts: list[str],
    chosen: Preset,
    origin: Origin,
    out: Path,
    *,
    begun: MotionEmbedding | None = None,
    first: Tensor,
    mask: Tensor | None = None,
    keeper: Keeper | None = None,
    mode: str = "auto",
    resume: bool = False,
) -> TrainingState:
    """Train on latents `[b, c, f, h, w]` with one prompt each, and write the embedding to `out`: the last, or the best
    of a keeper's candidates, each of which has a file of its own.

    begun: the embedding to begin with, by default an empty one. first: the clips' first frames, uint8
    `[b, height, width, 3]`, which a model that takes one may be given. mode: one of backbones.modes.MODES. Whatever
    ends it early, such as Ctrl-C, SIGTERM or a full disk, what there is is written, and a checkpoint that `resume`
    carries on from bit for bit.
    """
    checkpoint = checkpoint_of(out)
    state = _begin(model, latents, chosen, origin, begun, checkpoint, resume)
    work = _Work(state, out, checkpoint, resumable=state.step)
    pictures = None
    if chosen.settings.picture == "own":
        pictures = torch.cat([model.first_frame(picture, latents.shape) for picture in first])
    conditioning = model.conditioning(prompts, pictures)
    if not state.step and (sentence := warning(model.name, model.denoiser, latents, conditioning, LOOK)):
        say(sentence)
    plan = plan_training(model.denoiser, mode, latents.shape, state.embedding)
    if plan.needed is not None:
        say(plan.describe())
    if keeper is not None and state.step:
        keeper.candidates += _earlier(out, state, keeper.every)
    progress = bar(chosen.settings.steps, "Learning the motion")
    progress.update(state.step)
    with stoppable() as stop, closing(progress):
        try:
            with accelerated(model.denoiser, plan) as denoiser:
                run = train(denoiser, latents, conditioning, state, mask)
                # Before the first step of a resumed run, because Ctrl-C may have come while a candidate was scored.
                while _keep(keeper, state, out) and not state.done:
                    next(run)
                    stop.check()
                    progress.update(1)
                    progress.set_postfix(loss=f"{_recent(state.losses):.4f}", refresh=False)
                    if state.step % SAVE_EVERY == 0 and not state.done:
                        if trouble := work.save_checkpoint():
                            say(trouble)
            stop.hold()
            save_embedding(out, finished(state) if keeper is None else finished(state, keeper.best))
        except BaseException:
            stop.hold()
            kept = work.keep() if state.step else ""
            progress.close()
            if kept:
                say(kept)
            raise
        for path in (checkpoint, partial_of(out)):
            path.unlink(missing_ok=True)
    return state


@dataclass
class _Work:
    """What a run has learned so far, and where it is kept. resumable: the step of the checkpoint that is there, 0 for
    none."""

    state: TrainingState
    out: Path
    checkpoint: Path
    resumable: int

    def save_checkpoint(self) -> str:
        """Returns what kept it from being written, in words: training goes on where a disk has no room for it."""
        try:
            save_checkpoint(self.checkpoint, self.state)
        except MotionError as error:
            return f"There is no checkpoint of step {self.state.step}: {error}"
        self.resumable = self.state.step
        return ""

    def keep(self) -> str:
        """The motion so far first, which is small, then the checkpoint: a disk may have room for one of them only.
        Returns what is kept, in words."""
        path = self.out if _is_partial(self.out) else partial_of(self.out)
        words = [f"Stopped after {self.state.step} of {self.state.settings.steps} steps."]
        try:
            save_embedding(path, finished(self.state))
            words.append(f"{path} holds the motion so far.")
        except MotionError as error:
            words.append(f"The motion so far has no file of its own: {error}")
        words.append(self.save_checkpoint())
        if self.resumable:
            words.append(f"--resume with the same options carries on from step {self.resumable}.")
        return " ".join(filter(None, words))


def _is_partial(out: Path) -> bool:
    """Whether there is nothing that a run which was stopped would have to leave alone, such as a finished motion."""
    if not out.exists():
        return True
    try:
        origin = load_embedding(out).origin
    except MotionError:  # a file of another kind
        return False
    if origin.steps is None or origin.trained_steps is None:
        return False
    return origin.score is None and origin.trained_steps < origin.steps


def finished(state: TrainingState, candidate: Candidate | None = None) -> MotionEmbedding:
    """The embedding, as it is or as a candidate holds it, with what became of its training in its origin."""
    embedding = state.learned if candidate is None else candidate.embedding
    losses = state.losses if candidate is None else state.losses[: candidate.step]
    origin = replace(state.embedding.origin, trained_steps=len(losses), final_loss=round(_recent(losses), 5))
    if candidate is not None and not math.isnan(candidate.score):
        origin = replace(origin, score=candidate.score)
    return replace(embedding, origin=origin)


def _keep(keeper: Keeper | None, state: TrainingState, out: Path) -> bool:
    """Take a candidate if one is due. False when the keeper's patience has run out."""
    if keeper is None:
        return True
    if keeper.due(state):
        candidate = keeper.take(state)
        path = candidate_of(out, candidate.step)
        save_embedding(path, finished(state, candidate))
        if not math.isnan(candidate.score):
            say(f"{path.name}: score {candidate.score:.3f}")
    return not keeper.exhausted


def _earlier(out: Path, state: TrainingState, every: int) -> Iterator[Candidate]:
    """The candidates of the run that is carried on, by their files."""
    for step in range(every, state.step + 1, every):
        path = candidate_of(out, step)
        if not path.is_file():
            continue
        embedding = load_embedding(path)
        said, began = embedding.origin.said(), state.embedding
        if embedding.advice == began.advice and all(said.get(k) == v for k, v in began.origin.said().items()):
            yield Candidate(step, embedding, math.nan if embedding.origin.score is None else embedding.origin.score)


def _begin(
    model: VideoModel,
    latents: Tensor,
    chosen: Preset,
    origin: Origin,
    begun: MotionEmbedding | None,
    checkpoint: Path,
    resume: bool,
) -> TrainingState:
    size = (latents.shape[3], latents.shape[4])
    empty = chosen.empty(model.denoiser.backbone, latents.shape[2], size) if begun is None else begun
    start = replace(empty, origin=origin, advice=chosen.application.advice())
    if resume and checkpoint.is_file():
        state = load_checkpoint(checkpoint, chosen.settings, model.device)
        if field := difference(state.embedding, start):
            raise MotionError(
                f"{checkpoint.name} belongs to a run that differs in its {field}: resume with the same {field}, or "
                f"delete that file to train anew."
            )
        say(f"Carrying on from step {state.step}.")
        return state
    if resume:
        say(f"There is no unfinished run {checkpoint}: starting anew.")
    return TrainingState.start(start, chosen.settings, model.device)


def _recent(losses: list[float]) -> float:
    last = losses[-20:]
    return sum(last) / max(1, len(last))
