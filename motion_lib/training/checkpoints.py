"""Saving a training run so that continuing it is bit for bit the same as never having stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

import torch
from torch import Tensor

from ..errors import MotionError
from ..files import embedding_file as files
from .losses import SPATIAL
from .settings import TrainingSettings
from .spatial_lora import SpatialLoRA
from .state import TrainingState

FORMAT = "motion_checkpoint"
MOMENTS = ("exp_avg", "exp_avg_sq")
PREFIXES = ("optimizer/", "spatial/", "spatial_optimizer/")


def save_checkpoint(path: str | Path, state: TrainingState) -> None:
    """Write embedding (float32), spatial LoRA, optimiser moments and random state; raises MotionError when that
    fails."""
    tensors = {k: t.detach().cpu().contiguous() for k, t in state.embedding.tensors.items()}
    tensors |= _moments("optimizer/", state.optimizer, state.embedding.tensors)
    header = files.header_of(state.embedding, FORMAT)
    header |= {"step": str(state.step), "settings": json.dumps(asdict(state.settings))}
    if state.spatial is not None:
        tensors |= {f"spatial/{k}": t.detach().cpu().contiguous() for k, t in state.spatial.tensors.items()}
        tensors |= _moments("spatial_optimizer/", state.spatial.optimizer, state.spatial.tensors)
        header["spatial_step"] = str(_steps_of(state.spatial.optimizer))
    tensors["generator"] = state.generator.get_state()
    tensors["losses"] = torch.tensor(state.losses, dtype=torch.float64)
    # A file gives its tensors back in another order, and the norm of all gradients is a sum that rounds by the order.
    header["order"] = json.dumps(list(tensors))
    files.write(path, tensors, header)


def load_checkpoint(path: str | Path, settings: TrainingSettings, device: torch.device | str) -> TrainingState:
    """Read a run back. `settings` are those asked for now.

    Raises MotionError when the file is not a sound checkpoint, or when it was trained with other settings.
    """
    name = Path(path).name
    tensors, header = files.read(path)
    tensors = _in_order(name, header, tensors)
    extra = {k: tensors.pop(k) for k in list(tensors) if k in ("generator", "losses") or k.startswith(PREFIXES)}
    embedding = files.embedding_from(path, tensors, header, FORMAT)
    _check_settings(name, files.header_value(name, header, "settings", dict), settings)
    state = TrainingState.start(embedding, settings, device)
    state.step = files.header_value(name, header, "step", int)
    term = SPATIAL.get(settings.loss)
    try:
        for key in embedding.tensors:
            _sound(key, tensors[key])
        look = {k.removeprefix("spatial/"): _sound(k, t) for k, t in extra.items() if k.startswith("spatial/")}
        state.generator.set_state(extra["generator"])
        if extra["losses"].ndim != 1 or not extra["losses"].is_floating_point():
            raise ValueError("losses is not a list of numbers")
        state.losses = extra["losses"].tolist()
        _restore("optimizer/", state.optimizer, state.embedding.tensors, extra, state.step)
        if term and state.step:
            if not look:
                raise KeyError("the spatial LoRA")
            state.spatial = SpatialLoRA.of(look, term, settings, device)
            done = files.header_value(name, header, "spatial_step", int)
            if not 0 <= done <= state.step:
                raise ValueError(f"spatial_step is {done}, of {state.step} steps")
            _restore("spatial_optimizer/", state.spatial.optimizer, state.spatial.tensors, extra, done)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise MotionError(f"{name} is an incomplete checkpoint ({error}): train again without resuming.") from error
    if len(state.losses) != state.step:
        raise MotionError(
            f"{name} is a damaged checkpoint: its field step is {state.step}, but it holds {len(state.losses)} losses."
        )
    return state


def _in_order(name: str, header: Mapping[str, str], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as they were saved one after the other; those that a file of an earlier version does not place come
    last. Copies, which begin in memory where PyTorch wants them: some kernels round by that too."""
    order = files.header_value(name, header, "order", list) if "order" in header else []
    named = [key for key in order if isinstance(key, str) and key in tensors]
    return {key: tensors[key].clone() for key in dict.fromkeys([*named, *tensors])}


def _moments(prefix: str, optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        f"{prefix}{moment}/{key}": optimizer.state[tensor][moment].cpu().contiguous()
        for key, tensor in parameters.items()
        for moment in MOMENTS
        if tensor in optimizer.state
    }


def _steps_of(optimizer: torch.optim.Optimizer) -> int:
    return max((int(entry["step"]) for entry in optimizer.state.values()), default=0)


def _restore(
    prefix: str,
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, Tensor],
    extra: Mapping[str, Tensor],
    step: int,
) -> None:
    for key, tensor in parameters.items() if step else ():
        moments = {m: _sound(f"{prefix}{m}/{key}", extra[f"{prefix}{m}/{key}"]).to(tensor.device) for m in MOMENTS}
        if any(value.shape != tensor.shape for value in moments.values()):
            raise ValueError(f"the moments of {key} have another shape than it has")
        if (moments["exp_avg_sq"] < 0).any():
            raise ValueError(f"{prefix}exp_avg_sq/{key} holds negative values")
        # A fused optimiser, as on a GPU, counts where its parameters are.
        where = tensor.device if optimizer.defaults["fused"] else "cpu"
        optimizer.state[tensor] = {"step": torch.tensor(float(step), device=where), **moments}


def _sound(key: str, tensor: Tensor) -> Tensor:
    if tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
        raise ValueError(f"{key} does not hold finite values in float32")
    return tensor


def _check_settings(name: str, stored: dict, settings: TrainingSettings) -> None:
    for entry in fields(settings):
        # A setting that did not exist when the file was written had the effect of today's default.
        before, now = stored.get(entry.name, entry.default), getattr(settings, entry.name)
        if (list(before) if isinstance(before, tuple) else before) != (list(now) if isinstance(now, tuple) else now):
            raise MotionError(
                f"{name} was trained with {entry.name} {before!s:.60}, but {now} is asked for: "
                f"resume with the same value, or train anew."
            )
