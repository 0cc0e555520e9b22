"""The parts of one step of training, for one embedding alone (loop.py) and for many at once (batch.py)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..diffusion.denoiser import Denoiser
from ..diffusion.process import Process
from ..errors import MotionError
from ..method.embedding import MotionEmbedding
from ..method.patch import PreparedPatch
from .interrupts import uninterrupted
from .motion_mask import motion_mask
from .settings import TrainingSettings

if TYPE_CHECKING:
    from .loop import TrainingState
    from .spatial_lora import SpatialLoRA


@dataclass(frozen=True)
class Drawn:
    """The clip that a step learns from, and its timestep `[1]` and noise, on the device of the latents."""

    clip: int
    timesteps: Tensor
    noise: Tensor


class Draws:
    """What steps draw at random, with the CPU's generator, so that a seed means the same on every device.

    ahead: the next step's is drawn and sent while a GPU is at work on this one, which otherwise waits for it.
    """

    def __init__(self, latents: Tensor, schedule: Process, settings: TrainingSettings, ahead: bool = False):
        self.latents, self.process, self.settings, self.ahead = latents, schedule, settings, ahead
        self.found: tuple[Tensor, Drawn, Tensor] | None = None  # between the generator's states before and after it

    def prepare(self, generator: torch.Generator) -> None:
        """Called when the work of a step is on its way to the GPU. The generator stays as it is."""
        if self.ahead:
            before, own = generator.get_state(), copy_of(generator)
            self.found = before, self._draw(own), own.get_state()

    def take(self, generator: torch.Generator) -> Drawn:
        """As drawn now, whether it was prepared or not, or the generator was set to something else meanwhile."""
        found, self.found = self.found, None
        if found is None or not torch.equal(generator.get_state(), found[0]):
            return self._draw(generator)
        generator.set_state(found[2])
        return found[1]

    def _draw(self, generator: torch.Generator) -> Drawn:
        clip = int(torch.randint(len(self.latents), (), generator=generator)) if len(self.latents) > 1 else 0
        timesteps = self.settings.draw_timesteps(1, self.process, generator)
        noise = torch.randn(1, *self.latents.shape[1:], generator=generator)
        device, dtype = self.latents.device, self.latents.dtype
        return Drawn(clip, _sent(timesteps, device), _sent(noise, device).to(dtype))


def _sent(x: Tensor, device: torch.device) -> Tensor:
    """From the CPU, without waiting for what a GPU has to do before."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


def copy_of(generator: torch.Generator) -> torch.Generator:
    """One that draws the same, and leaves this one where it is."""
    own = torch.Generator()
    own.set_state(generator.get_state())
    return own


class Draw:
    """The clip, timestep and noise of one step, and what a loss sees of them."""

    def __init__(
        self,
        denoiser: Denoiser,
        latents: Tensor,
        conditioning: Any,
        scale: Tensor | None,
        settings: TrainingSettings,
        drawn: Drawn,
    ):
        if len(latents) > 1:
            clip = slice(drawn.clip, drawn.clip + 1)
            latents, conditioning = latents[clip], conditioning[clip]
            scale = scale if scale is None or len(scale) == 1 else scale[clip]
        self.denoiser, self.clean, self.conditioning, self.scale = denoiser, latents, conditioning, scale
        self.timesteps, self.noise = drawn.timesteps, drawn.noise
        self.weight = _root_weight(denoiser.schedule, settings, self.timesteps, latents)

    def compare(self, patches: Sequence[PreparedPatch], frames: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Prediction and target for these frames, as a loss should see them."""
        prediction = self.denoiser(self.noisy(frames), self.timesteps, self.conditioning, patches)
        return self.compared(prediction, frames)

    def noisy(self, frames: slice = slice(None)) -> Tensor:
        return self.denoiser.schedule.noisy(self.clean[:, :, frames], self.noise[:, :, frames], self.timesteps)

    def compared(self, prediction: Tensor, frames: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """A prediction for these frames and its target, as a loss should see them."""
        target = self.denoiser.schedule.target(self.clean[:, :, frames], self.noise[:, :, frames], self.timesteps)
        scale = self.weight if self.scale is None else self.weight * self.scale[:, :, frames]
        return scale * prediction.float(), scale * target.float()


Values = dict[str, Tensor]  # by name, still on the device


def moving(latents: Tensor, embedding: MotionEmbedding, threshold: float) -> dict[str, Tensor]:
    """Where the clip moves, on the grid of every value embedding."""
    masks = {}  # layers share grids
    for key in (key for key in embedding.tensors if key.endswith(".v")):
        grid = embedding.grid_of(key)
        masks[grid] = masks[grid] if grid in masks else motion_mask(latents.float(), grid, threshold)
    return {key: masks[embedding.grid_of(key)] for key in embedding.tensors if key.endswith(".v")}


def backward(loss: Tensor, latents: Tensor, tensors: Mapping[Any, Tensor]) -> None:
    """Gradients of the loss. That of a mean over all values of a clip is so small that most of it would vanish in
    float16 on its way through the model (measured at full size: cosine to the right one .37); times a power of two it
    does not (1.00), and in float32 the result is the same bit for bit."""
    scale = 2.0 ** (latents[:1].numel().bit_length() - 3)
    (scale * loss).backward()
    if gradients := [tensor.grad for tensor in tensors.values() if tensor.grad is not None]:
        torch._foreach_mul_(gradients, 1 / scale)  # exact, by a power of two


def clip_gradients(tensors: Mapping[str, Tensor], settings: TrainingSettings) -> Tensor:
    """The norm of all gradients, before they are brought down to the largest that is allowed."""
    return torch.nn.utils.clip_grad_norm_(list(tensors.values()), settings.clip or math.inf)


def require_finite(state: TrainingState, values: Mapping[str, float], whose: str = "") -> None:
    """Raises MotionError if one of the values, by name, is not finite; whose: words for which clip."""
    for what, value in values.items():
        if not math.isfinite(value):
            raise MotionError(
                f"The {what}{whose} became {value} at step {state.step + 1}: lower learning_rate, or use a higher "
                f"precision."
            )


def advance(state: TrainingState, loss: float, generator: torch.Generator, lora: SpatialLoRA | None = None) -> None:
    """The optimisers' step, once gradients are there and known to be finite. Nothing else changes a state, so that it
    is that of a whole number of steps whenever training is left: a signal waits until all of it has changed.

    generator: a copy of the state's, which has drawn what the step needed. lora: if it learned in this step.
    """
    with uninterrupted():
        for group in state.optimizer.param_groups:
            group["lr"] = state.settings.rate(state.step)
        state.optimizer.step()
        if lora is not None:
            lora.optimizer.step()
        state.generator.set_state(generator.get_state())
        state.step += 1
        state.losses.append(loss)


def _root_weight(schedule: Process, settings: TrainingSettings, at: Tensor, like: Tensor) -> Tensor:
    """√w so that weighting prediction and target weighs their squared difference by w, whatever the loss."""
    if not settings.velocity_weight:
        return torch.ones((), device=like.device)
    return schedule.velocity_weight(at, like).clamp(max=settings.velocity_cap).sqrt().float()


def check(latents: Tensor, embedding: MotionEmbedding, schedule: Process, settings: TrainingSettings) -> None:
    if latents.ndim != 5:
        raise MotionError(f"Training needs latents [b, c, f, h, w], not of shape {list(latents.shape)}.")
    if not torch.isfinite(latents).all():
        raise MotionError("The clip's latents contain NaN or infinity: check the clip and the autoencoder.")
    if latents.shape[2] != embedding.frames:
        raise MotionError(f"The clip has {latents.shape[2]} frames, but the embedding was made for {embedding.frames}.")
    size = (latents.shape[3], latents.shape[4])
    for name, grid in embedding.grids.items():
        expected = embedding.backbone[name].grid(size)
        if grid != expected:
            raise MotionError(f"The embedding's grid at {name} is {grid}, but latents of {size} need {expected}.")
    if settings.timesteps[0] >= len(schedule):
        raise MotionError(f"timesteps begin at {settings.timesteps[0]}, but this model has {len(schedule)} of them.")
