"""Learning with a progress bar, stopping without loss, and carrying on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backbones.modes import accelerated, plan_training
from ..checkpoints import load_checkpoint, save_checkpoint
from ..embedding import MotionEmbedding
from ..errors import MotionError
from ..files import load_embedding, save_embedding
from ..keeping import Candidate, Keeper
from ..training import TrainingState, train
from .common import bar, say

if TYPE_CHECKING:
    from torch import Tensor

    from ..backbones import VideoModel
    from ..presets import Preset

SAVE_EVERY = 100  # steps
# Details that must agree for two runs to be one.
SAME = ("clip_sha256", "mask_sha256", "prompt", "model", "preset", "scored_by")
OTHER = {"clip_sha256": "another clip", "mask_sha256": "another mask"}


def checkpoint_of(out: Path) -> Path:
    """Where an unfinished run is kept, beside its result."""
    return out.with_name(f"{out.stem}.unfinished.safetensors")


def candidate_of(out: Path, step: int) -> Path:
    """Where the embedding as it was after a step is kept, beside the result."""
    return out.with_name(f"{out.stem}.step{step}.safetensors")


def learn(
    model: VideoModel,
    latents: Tensor,
    prompts: list[str],
    chosen: Preset,
    details: Mapping[str, Any],
    out: Path,
    *,
    mask: Tensor | None = None,
    keeper: Keeper | None = None,
    mode: str = "auto",
    resume: bool = False,
) -> TrainingState:
    """Train on latents `[b, c, f, h, w]` with one prompt each, and write the embedding to `out`: the last, or the best
    of a keeper's candidates, each of which has a file of its own.

    mode: one of backbones.modes.MODES. Ctrl-C writes what there is, and a checkpoint that `resume` carries on from bit
    for bit.
    """
    checkpoint = checkpoint_of(out)
    state = _begin(model, latents, chosen, dict(details), checkpoint, resume)
    plan = plan_training(model.denoiser, mode, latents.shape, state.embedding)
    if plan.needed is not None:
        say(plan.describe())
    if keeper is not None and state.step:
        keeper.candidates += _earlier(out, state, keeper.every)
    progress = bar(chosen.settings.steps, "Learning the motion")
    progress.update(state.step)
    try:
        with accelerated(model.denoiser, plan) as denoiser:
            run = train(denoiser, latents, model.encode_prompt(prompts), state, mask)
            # Before the first step of a resumed run, because Ctrl-C may have come while a candidate was scored.
            while _keep(keeper, state, out) and not state.done:
                state = next(run)
                progress.update(1)
                progress.set_postfix(loss=f"{_recent(state.losses):.4f}", refresh=False)
                if state.step % SAVE_EVERY == 0 and not state.done:
                    save_checkpoint(checkpoint, state)
    except KeyboardInterrupt:
        progress.close()
        if state.step:
            save_checkpoint(checkpoint, state)
            save_embedding(out, finished(state))
            say(f"Stopped after {state.step} of {chosen.settings.steps} steps. {out} holds the motion so far; --resume")
            say("with the same options carries on.")
        raise
    finally:
        progress.close()
    save_embedding(out, finished(state) if keeper is None else finished(state, keeper.best))
    checkpoint.unlink(missing_ok=True)
    return state


def finished(state: TrainingState, candidate: Candidate | None = None) -> MotionEmbedding:
    """The embedding, as it is or as a candidate holds it, with how it was trained in its details."""
    embedding = state.learned if candidate is None else candidate.embedding
    losses = state.losses if candidate is None else state.losses[: candidate.step]
    details = {**state.embedding.details, "trained_steps": len(losses), "final_loss": round(_recent(losses), 5)}
    if candidate is not None and not math.isnan(candidate.score):
        details["score"] = candidate.score
    return embedding.with_tensors(embedding.tensors, details=details)


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
        if all(embedding.details.get(key) == value for key, value in state.embedding.details.items()):
            yield Candidate(step, embedding, float(embedding.details.get("score", math.nan)))


def _begin(
    model: VideoModel, latents: Tensor, chosen: Preset, details: dict[str, Any], checkpoint: Path, resume: bool
) -> TrainingState:
    if resume and checkpoint.is_file():
        state = load_checkpoint(checkpoint, chosen.settings, model.device)
        for key in SAME:
            if state.embedding.details.get(key) != details.get(key):
                what = OTHER.get(key) or f"{key} '{state.embedding.details.get(key)}'"
                raise MotionError(
                    f"{checkpoint.name} was trained on {what}: "
                    f"resume with the same {key}, or train anew without --resume."
                )
        say(f"Carrying on from step {state.step}.")
        return state
    if resume:
        say(f"There is no unfinished run {checkpoint}: starting anew.")
    size = (latents.shape[3], latents.shape[4])
    empty = chosen.empty(model.denoiser.backbone, latents.shape[2], size)
    return TrainingState.start(empty.with_tensors(empty.tensors, details=details), chosen.settings, model.device)


def _recent(losses: list[float]) -> float:
    last = losses[-20:]
    return sum(last) / max(1, len(last))
