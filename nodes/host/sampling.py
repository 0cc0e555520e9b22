"""The library's faster pass for whatever samples with a MODEL: KSampler, SamplerCustomAdvanced, inversion.

It gives the numbers of diffusers' pass within rounding, in less time on a GPU. It reads the weights itself instead of
calling the layers. So it is taken only while every layer is the one that was loaded and would use its own weights as
they are, a LoRA that the host has put into them included. Weights that are cast, moved in or changed in each call,
layers that somebody has replaced or hooked, gradients and torch.compile are left to diffusers' pass.

It serves one run of a sampler at a time. Recordings keep memory that the host believes to be free; what they keep is
what a call needs in any case, which the host has made room for until the run ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import comfy.model_management as management
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP
from torch import Tensor, nn

from ...motion_lib.backbones.accelerate.recorded_sampling import RecordedPass
from ...motion_lib.backbones.accelerate.training_modes import faster
from ...motion_lib.backbones.unet3d.frozen_pass import FrozenPass
from ...motion_lib.method.patch import PreparedPatch
from .recording import may_record

KEY = "motion_inversion"  # of callbacks


def serve_sampling(patcher: ModelPatcher) -> None:
    """Give the MODEL and its clones the faster pass, from the beginning of a sampler's run to its end."""
    patcher.add_callback_with_key(CallbacksMP.ON_PRE_RUN, KEY, _begin)
    patcher.add_callback_with_key(CallbacksMP.ON_CLEANUP, KEY, _end)


def _begin(patcher: ModelPatcher) -> None:
    unet = patcher.model.diffusion_model
    unet.sampling = SamplingRun(unet, patcher.model.memory_required)


def _end(patcher: ModelPatcher) -> None:
    unet = patcher.model.diffusion_model
    recorded, unet.sampling = unet.sampling is not None and unet.sampling.recorded, None
    if recorded:
        management.soft_empty_cache()


class SamplingRun:
    """How a HostUNet3D computes in one run of a sampler. memory_required: of the host, bytes for a call with latents of
    a shape `[b·f, c, h, w]`."""

    def __init__(self, unet: Any, memory_required: Callable[[Sequence[int]], float]):
        self.unet, self.memory_required = unet, memory_required
        self._run: FrozenPass | RecordedPass | None = None

    def __deepcopy__(self, memo: dict) -> None:
        return None  # nothing samples with a copy of the model

    @property
    def recorded(self) -> bool:
        return isinstance(self._run, RecordedPass) and bool(self._run.recordings)

    def suits(self, latents: Tensor) -> bool:
        """Whether a call with these latents `[b, c, f, h, w]` can be computed here, and faster."""
        unet = self.unet
        if unet.training or not faster(unet.abilities, latents.device):
            return False
        return parts_of(unet) == unet.parts and all(map(_as_loaded, unet.parts))

    def __call__(self, latents: Tensor, timesteps: Tensor, context: Tensor, patches: Sequence[PreparedPatch]) -> Tensor:
        management.throw_exception_if_processing_interrupted()  # in diffusers' pass the layers ask
        if self._run is None:
            self._run = FrozenPass(self.unet)
            if latents.is_cuda and may_record():
                self._run = RecordedPass(self._run, self._weights, self._room)
        return self._run(latents, timesteps, context, patches)

    def _weights(self) -> Iterator[Tensor]:
        for part in self.unet.parts:
            yield from (weight for weight in getattr(part, "_parameters", {}).values() if weight is not None)

    def _room(self, latents: Tensor) -> bool:
        """Whether there is as much memory as the host reckons such a call to need: a recording takes no more."""
        videos, channels, frames, *size = latents.shape
        return management.get_free_memory(latents.device) >= self.memory_required([videos * frames, channels, *size])


def parts_of(unet: nn.Module) -> list[Any]:
    """Every module below the UNet, and what computes its attentions, in a fixed order."""
    found: list[Any] = []
    waiting = [unet]
    while waiting:
        for child in waiting.pop()._modules.values():  # children() takes four times as long, and every call asks
            if child is not None:
                found.append(child)
                waiting.append(child)
                if (processor := child.__dict__.get("processor")) is not None:
                    found.append(processor)
    return found


def _as_loaded(part: Any) -> bool:
    """Whether nobody has changed what a module does, and it uses its own weights if it has any."""
    state = part.__dict__
    if state.get("_forward_hooks") or state.get("_forward_pre_hooks") or "forward" in state:
        return False
    acts_as_its_base = getattr(type(part), "acts_as_its_base", None)
    return acts_as_its_base is None or acts_as_its_base(part)
