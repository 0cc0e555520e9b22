"""What one step of training sees of a clip: a timestep, noise, and what a loss compares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..diffusion.process import Process
from .region import root_mask
from .settings import TrainingSettings

ALL = slice(None)


@dataclass(frozen=True)
class NoisyClip:
    """A clean clip `[1, c, f, h, w]` with its conditioning, its noise, and its timestep `[1]`. scale: √ of how much
    each value of the error counts; None where all count alike, and `velocity_scale` alone is left."""

    process: Process
    clean: Tensor
    conditioning: Any
    timesteps: Tensor
    noise: Tensor
    velocity_scale: Tensor
    scale: Tensor | None

    def noisy(self, frames: slice = ALL) -> Tensor:
        return self.process.noisy(self.clean[:, :, frames], self.noise[:, :, frames], self.timesteps)

    def compared(self, prediction: Tensor, frames: slice = ALL) -> tuple[Tensor, Tensor]:
        """A prediction for these frames and its target, as a loss should see them."""
        target = self.process.target(self.clean[:, :, frames], self.noise[:, :, frames], self.timesteps)
        scale = self.velocity_scale if self.scale is None else self.velocity_scale * self.scale[:, :, frames]
        return scale * prediction.float(), scale * target.float()


@dataclass(frozen=True)
class _Choice:
    """What is drawn at random: the clip, and its timestep `[1]` and noise, on the device of the latents."""

    clip: int
    timesteps: Tensor
    noise: Tensor


class NoisyClips:
    """Draws a NoisyClip for every step, from one or several clips, with the CPU's generator, so that a seed means the
    same on every device.

    mask: see `train`. ahead: the next step's is drawn and sent while a GPU is at work on this one, which otherwise
    waits for it. Raises MotionError for a mask that does not suit.
    """

    def __init__(
        self,
        latents: Tensor,
        conditioning: Any,
        mask: Tensor | None,
        process: Process,
        settings: TrainingSettings,
        ahead: bool = False,
    ):
        self.latents, self.conditioning, self.process, self.settings = latents, conditioning, process, settings
        self.scale, self.ahead = None if mask is None else root_mask(mask, latents), ahead
        self.found: tuple[Tensor, _Choice, Tensor] | None = None  # between the generator's states before and after it

    def draw_ahead(self, generator: torch.Generator) -> None:
        """Called when the work of a step is on its way to the GPU. The generator stays as it is."""
        if self.ahead:
            before, own = generator.get_state(), copy_of(generator)
            self.found = before, self._choose(own), own.get_state()

    def draw(self, generator: torch.Generator) -> NoisyClip:
        """As drawn now, whether it was drawn ahead or not, or the generator was set to something else meanwhile."""
        found, self.found = self.found, None
        if found is not None and torch.equal(generator.get_state(), found[0]):
            chosen = found[1]
            generator.set_state(found[2])
        else:
            chosen = self._choose(generator)
        latents, conditioning, scale = self.latents, self.conditioning, self.scale
        if len(latents) > 1:
            clip = slice(chosen.clip, chosen.clip + 1)
            latents, conditioning = latents[clip], conditioning[clip]
            scale = scale if scale is None or len(scale) == 1 else scale[clip]
        velocity_scale = _velocity_scale(self.process, self.settings, chosen.timesteps, latents)
        return NoisyClip(self.process, latents, conditioning, chosen.timesteps, chosen.noise, velocity_scale, scale)

    def _choose(self, generator: torch.Generator) -> _Choice:
        clip = int(torch.randint(len(self.latents), (), generator=generator)) if len(self.latents) > 1 else 0
        timesteps = self.settings.draw_timesteps(1, self.process, generator)
        noise = torch.randn(1, *self.latents.shape[1:], generator=generator)
        device, dtype = self.latents.device, self.latents.dtype
        return _Choice(clip, _sent(timesteps, device), _sent(noise, device).to(dtype))


def copy_of(generator: torch.Generator) -> torch.Generator:
    """One that draws the same, and leaves this one where it is."""
    own = torch.Generator()
    own.set_state(generator.get_state())
    return own


def _sent(x: Tensor, device: torch.device) -> Tensor:
    """From the CPU, without waiting for what a GPU has to do before."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


def _velocity_scale(process: Process, settings: TrainingSettings, at: Tensor, like: Tensor) -> Tensor:
    """√w so that scaling prediction and target weighs their squared difference by w, whatever the loss."""
    if not settings.velocity_weight:
        return torch.ones((), device=like.device)
    return process.velocity_weight(at, like).clamp(max=settings.velocity_cap).sqrt().float()
