"""Saving a training run so that carrying on is bit for bit the same as never having stopped."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

import torch

from . import files
from .errors import MotionError
from .training import TrainingSettings, TrainingState

FORMAT = "motion_checkpoint"
MOMENTS = ("exp_avg", "exp_avg_sq")


def save_checkpoint(path: str | Path, state: TrainingState) -> None:
    """Write embedding (float32), optimiser moments and random state; raises MotionError when that fails."""
    tensors = {k: t.detach().cpu().contiguous() for k, t in state.embedding.tensors.items()}
    for key, tensor in state.embedding.tensors.items():
        for moment, value in state.optimizer.state.get(tensor, {}).items():
            if moment in MOMENTS:
                tensors[f"optimizer/{moment}/{key}"] = value.cpu().contiguous()
    tensors["generator"] = state.generator.get_state()
    tensors["losses"] = torch.tensor(state.losses, dtype=torch.float64)
    header = files.header_of(state.embedding, FORMAT)
    header |= {"step": str(state.step), "settings": json.dumps(asdict(state.settings))}
    files.write(path, tensors, header)


def load_checkpoint(path: str | Path, settings: TrainingSettings, device: torch.device | str) -> TrainingState:
    """Read a run back. `settings` are those asked for now.

    Raises MotionError when the file is not a sound checkpoint, or when it was trained with other settings.
    """
    name = Path(path).name
    tensors, header = files.read(path)
    extra = {k: tensors.pop(k) for k in list(tensors) if k in ("generator", "losses") or k.startswith("optimizer/")}
    embedding = files.embedding_from(path, tensors, header, FORMAT)
    _check_settings(name, files.header_value(name, header, "settings", dict), settings)
    state = TrainingState.start(embedding, settings, device)
    state.step = files.header_value(name, header, "step", int)
    try:
        state.generator.set_state(extra["generator"])
        state.losses = extra["losses"].tolist()
        for key, tensor in state.embedding.tensors.items() if state.step else ():
            moments = {m: extra[f"optimizer/{m}/{key}"].to(device) for m in MOMENTS}
            if any(value.shape != tensor.shape for value in moments.values()):
                raise KeyError(f"the moments of {key} have another shape than it has")
            state.optimizer.state[tensor] = {"step": torch.tensor(float(state.step)), **moments}
    except (KeyError, RuntimeError, TypeError) as error:
        raise MotionError(f"{name} is an incomplete checkpoint ({error}): train again without resuming.") from error
    if len(state.losses) != state.step:
        raise MotionError(
            f"{name} is a damaged checkpoint: its field step is {state.step}, but it holds {len(state.losses)} losses."
        )
    return state


def _check_settings(name: str, stored: dict, settings: TrainingSettings) -> None:
    for entry in fields(settings):
        before, now = stored.get(entry.name), getattr(settings, entry.name)
        if before != (list(now) if isinstance(now, tuple) else now):
            raise MotionError(
                f"{name} was trained with {entry.name} {before}, but {now} is asked for: "
                f"resume with the same value, or train anew."
            )
