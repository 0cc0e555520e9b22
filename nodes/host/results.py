"""What Train Motion Embedding has learned before, so that the same need not be learned twice."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...motion_lib.errors import MotionError
from ...motion_lib.files.embedding_file import load_embedding
from ...motion_lib.method.embedding import MotionEmbedding
from ...motion_lib.training.checkpoints import load_checkpoint
from ...motion_lib.training.identity import difference, identity_hash
from ...motion_lib.training.presets import LEARNED, Preset
from ...motion_lib.training.settings import TrainingSettings
from ...motion_lib.training.state import TrainingState
from .fingerprint import earlier_model_state, fingerprint, model_state
from .folders import TRAINED, result_path

# The settings that there were while results were named by all of them.
EARLIER = make_dataclass(
    "TrainingSettings",
    (
        "steps",
        "learning_rate",
        "final_rate",
        "loss",
        "timesteps",
        "velocity_weight",
        "velocity_cap",
        "betas",
        "weight_decay",
        "eps",
        "clip",
        "seed",
        "lr_schedule",
        "timestep_bias",
        "train_debias",
        "motion_mask",
    ),
)


@dataclass(frozen=True)
class Inputs:
    """What a motion is learned from: a MODEL, latents `[1, c, f, h, w]`, what the model is told of the clip, and
    where in the picture it is learned."""

    model: ModelPatcher
    latents: Tensor
    text: Any
    mask: Tensor | None

    def hashes(self) -> dict[str, str]:
        return {
            "weights": fingerprint(model_state(self.model)),
            "latents": fingerprint(self.latents),
            "text": fingerprint(self.text),
            "mask": fingerprint(self.mask),
        }


@dataclass(frozen=True)
class Results:
    """The files of one training: the result, the checkpoint of a run that was cancelled, and what that had learned. The
    first of the names is today's; results that were kept before it may have the other."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, preset: str, start: MotionEmbedding, chosen: Preset, inputs: Inputs) -> Results:
        """start: the embedding that training begins with, whose origin has the hashes of the inputs."""
        keys = [identity_hash(start), *_earlier_key(chosen, inputs)]
        return cls(tuple(f"{preset}_{key[:16]}" for key in keys))

    @property
    def finished(self) -> Path:
        return result_path(TRAINED, f"{self.names[0]}.safetensors")

    @property
    def unfinished(self) -> Path:
        return result_path(TRAINED, f"{self.names[0]}.checkpoint")

    def partial(self, step: int) -> Path:
        return result_path(TRAINED, f"{self.names[0]}_step{step}.safetensors")

    def find(self, start: MotionEmbedding) -> tuple[Path, MotionEmbedding] | None:
        """The result of an earlier training that was the same, if there is one."""
        for path in self._there(".safetensors"):
            kept = load_embedding(path)
            if _same(path, kept, start):
                return path, kept
        return None

    def resume(self, start: MotionEmbedding, settings: TrainingSettings, device: torch.device) -> TrainingState | None:
        """What a cancelled run of the same training had learned, if there is a sound checkpoint of it."""
        for path in self._there(".checkpoint"):
            try:
                state = load_checkpoint(path, settings, device)
            except MotionError as error:
                logging.warning("%s The motion is learned anew.", error)
                continue
            if _same(path, state.embedding, start):
                return state
        return None

    def forget_checkpoints(self) -> None:
        for path in self._there(".checkpoint"):
            with suppress(OSError):
                path.unlink()

    def _there(self, suffix: str) -> Iterator[Path]:
        return filter(Path.is_file, (result_path(TRAINED, f"{name}{suffix}") for name in self.names))


def _same(path: Path, kept: MotionEmbedding, start: MotionEmbedding) -> bool:
    field = difference(kept, start)
    if field is not None:
        logging.warning("%s was learned with another value of %s: the motion is learned anew.", path.name, field)
    return field is None


def _earlier_key(chosen: Preset, inputs: Inputs) -> list[str]:
    """What named such a result before there was an identity; nothing for settings that could not be chosen then."""
    settings, then = chosen.settings, {entry.name for entry in fields(EARLIER)}
    later = [entry for entry in fields(settings) if entry.name not in then]
    if any(getattr(settings, entry.name) != entry.default for entry in later):
        return []
    state = earlier_model_state(inputs.model)
    if state is None:
        return []
    settings = EARLIER(**{name: getattr(settings, name) for name in then})
    learned = [getattr(chosen, name) for name in LEARNED]
    return [fingerprint(state, inputs.latents, inputs.text, settings, *learned, inputs.mask)]
