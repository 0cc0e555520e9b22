"""Learning with a progress bar, stopping without loss, and carrying on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints import load_checkpoint, save_checkpoint
from ..embedding import MotionEmbedding
from ..errors import MotionError
from ..files import save_embedding
from ..training import TrainingState, train
from .common import bar, say

if TYPE_CHECKING:
    from torch import Tensor

    from ..backbones import VideoModel
    from ..presets import Preset

SAVE_EVERY = 100  # steps
# Details that must agree for two runs to be one.
SAME = ("clip_sha256", "prompt", "model", "preset")


def checkpoint_of(out: Path) -> Path:
    """Where an unfinished run is kept, beside its result."""
    return out.with_name(f"{out.stem}.unfinished.safetensors")


def learn(
    model: VideoModel,
    latents: Tensor,
    prompt: str,
    chosen: Preset,
    details: Mapping[str, Any],
    out: Path,
    *,
    resume: bool = False,
) -> TrainingState:
    """Train on latents `[1, c, f, h, w]` and write the embedding to `out`.

    Ctrl-C writes what there is, and a checkpoint that `resume` carries on from bit for bit.
    """
    checkpoint = checkpoint_of(out)
    state = _begin(model, latents, chosen, dict(details), checkpoint, resume)
    progress = bar(chosen.settings.steps, "Learning the motion")
    progress.update(state.step)
    try:
        run = train(model.denoiser, latents, model.encode_prompt([prompt]), state)
        for state in run:
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
    save_embedding(out, finished(state))
    checkpoint.unlink(missing_ok=True)
    return state


def finished(state: TrainingState) -> MotionEmbedding:
    embedding = state.embedding.detached()
    details = {**embedding.details, "trained_steps": state.step, "final_loss": round(_recent(state.losses), 5)}
    return embedding.with_tensors(embedding.tensors, details=details)


def _begin(
    model: VideoModel, latents: Tensor, chosen: Preset, details: dict[str, Any], checkpoint: Path, resume: bool
) -> TrainingState:
    if resume and checkpoint.is_file():
        state = load_checkpoint(checkpoint, chosen.settings, model.device)
        for key in SAME:
            if state.embedding.details.get(key) != details[key]:
                what = "another clip" if key == "clip_sha256" else f"{key} '{state.embedding.details.get(key)}'"
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
