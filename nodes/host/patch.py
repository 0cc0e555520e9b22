"""A motion embedding on a MODEL: data in `transformer_options`, read by the model on every call.

Nothing in the module tree changes, so that patches compose, follow hooks and schedules of a conditioning, work under
torch.compile and gradient checkpointing, and leave the model bit-identical when they are not there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import comfy.patcher_extension
import torch
from comfy.model_patcher import ModelPatcher, create_model_options_clone
from torch import Tensor

from ...motion_lib.method.patch import MotionPatch, PreparedPatch
from ...motion_lib.method.stretch import far_from_learned

KEY = "motion_inversion"  # in transformer_options["patches"]


class AppliedPatch:
    """A MotionPatch on a ModelPatcher. Prepared tensors are kept per shape, device and dtype, because a sampling run
    asks for the same ones on every step; multi-GPU asks from several threads."""

    def __init__(self, patch: MotionPatch):
        self.patch = patch
        self._prepared: dict[tuple, PreparedPatch] = {}

    def __deepcopy__(self, memo: dict) -> AppliedPatch:
        return self  # older versions of ComfyUI copy model options deeply for every clone

    def to(self, device_or_dtype: Any) -> AppliedPatch:
        return self  # called when a model is loaded; tensors are moved at use

    def at(self, call: Call) -> PreparedPatch | None:
        # Reading the timestep waits for the GPU.
        progress = 0.0 if self.patch.constant else call.progress()
        if not self.patch.acts_at(progress):
            return None
        key = (call.total_frames, call.size, call.device, call.dtype)
        prepared = self._prepared.get(key)
        if prepared is None:
            if len(self._prepared) > 4:
                self._prepared.clear()
            # Sampling runs in inference mode; tensors made there could not be used by training afterwards.
            with torch.inference_mode(False), torch.no_grad():
                prepared = self.patch.prepare(call.total_frames, call.size, call.device, call.dtype)
            self._prepared[key] = prepared
            if sentence := far_from_learned(self.patch.embedding, call.total_frames, call.size):
                logging.warning(sentence)
        acting = self.patch.at(prepared, progress)
        return None if acting is None else call.windowed(acting)


@dataclass(frozen=True)
class ReadyPatch:
    """A patch that training prepared for this very call, with gradients, in the precision it learns in: the model's own
    is lower on a GPU."""

    prepared: PreparedPatch

    def __deepcopy__(self, memo: dict) -> ReadyPatch:
        return self

    def at(self, call: Call) -> PreparedPatch:
        return self.prepared.each(lambda m: m.to(call.dtype))


@dataclass(frozen=True)
class Call:
    """One call of the model: what a patch needs to know of it. size: (h, w) of the latents. timesteps: `[b]`."""

    frames: int
    size: tuple[int, int]
    device: torch.device
    dtype: torch.dtype
    timesteps: Tensor
    last_timestep: int
    window: Sequence[int] | None = None
    window_of: int = 0

    @classmethod
    def of(cls, x: Tensor, timesteps: Tensor, last_timestep: int, options: dict, window_dim: int = 0) -> Call:
        """x: `[b, c, f, h, w]`. window_dim: along which dimension the host's own latents have their frames."""
        frames = x.shape[2]
        window = options.get("context_window")
        if window is None or getattr(window, "dim", None) != window_dim or len(window.index_list) != frames:
            window = None
        size = (x.shape[3], x.shape[4])
        shape = (frames, size, x.device, x.dtype, timesteps, last_timestep)
        return cls(*shape) if window is None else cls(*shape, tuple(window.index_list), window.total_frames)

    @property
    def total_frames(self) -> int:
        return self.window_of or self.frames

    def progress(self) -> float:
        """0 at pure noise, 1 at the clean end."""
        return 1 - float(self.timesteps[0]) / self.last_timestep

    def windowed(self, prepared: PreparedPatch) -> PreparedPatch:
        """The rows of a context window: of the motion of the whole video, those of the window's frames."""
        return prepared if self.window is None else prepared.window(torch.tensor(self.window, device=self.device))


def with_patch(options: dict, patch: AppliedPatch | ReadyPatch) -> dict:
    """transformer_options with one more patch; the given ones are left as they are."""
    patches = dict(options.get("patches", {}))
    patches[KEY] = [*patches.get(KEY, ()), patch]
    return {**options, "patches": patches}


def patches_for(call: Call, options: dict) -> tuple[PreparedPatch, ...]:
    prepared = (patch.at(call) for patch in options.get("patches", {}).get(KEY, ()))
    return tuple(patch for patch in prepared if patch is not None)


def options_of(model: ModelPatcher) -> dict[str, Any]:
    """transformer_options as sampling gives them to the model, with the wrappers that nodes put on the MODEL."""
    options = create_model_options_clone(model.model_options)["transformer_options"]
    wrappers = options.setdefault("wrappers", {})
    comfy.patcher_extension.merge_nested_dicts(wrappers, model.wrappers, copy_dict1=False)
    return options
