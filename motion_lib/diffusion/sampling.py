"""DDIM sampling with classifier-free guidance and motion patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..camera.alignment import CameraAlignment
from ..errors import MotionError
from ..method.patch import MotionPatch
from .denoiser import Denoiser
from .schedule import CLEAN


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    noise: Tensor,
    conditioning: Tensor,
    *,
    unconditional: Tensor | None = None,
    guidance: float = 1.0,
    steps: int = 50,
    patches: Sequence[MotionPatch] = (),
    camera: CameraAlignment | None = None,
    on_step: Callable[[int, int], object] | None = None,
) -> Tensor:
    """Latents `[b, c, f, h, w]` from start noise of that shape, by deterministic DDIM (Song et al. 2021).

    conditioning, unconditional: text embeddings `[b, tokens, width]`; guidance 1 needs no unconditional ones.
    Patches act on both (as in Motion Inversion), each in its own part of the run. camera: what holds the estimates of
    the clean video to a camera's path, and strengthens the guidance early.
    Raises MotionError for guidance without unconditional embeddings, or a motion embedding made for another backbone.
    """
    for patch in patches:
        patch.embedding.check_fits(denoiser.backbone)
    if guidance != 1.0 and unconditional is None:
        raise MotionError(f"guidance is {guidance}, which needs unconditional text embeddings: give them, or use 1.")
    schedule, frames, size = denoiser.schedule, noise.shape[2], (noise.shape[3], noise.shape[4])
    prepared = [(patch, patch.prepare(frames, size, noise.device, noise.dtype)) for patch in patches]
    guided = guidance != 1.0
    if guided:
        assert unconditional is not None
        conditioning = torch.cat([unconditional, conditioning])
    x = noise
    timesteps = schedule.timesteps(steps)
    for i, (t, below) in enumerate(zip(timesteps, [*timesteps[1:], CLEAN], strict=True)):
        progress = schedule.progress(t)
        if on_step is not None:
            on_step(i, steps)
        acting = (patch.at(ready, progress) for patch, ready in prepared)
        active = [patch for patch in acting if patch is not None]
        batch = torch.cat([x, x]) if guided else x
        prediction = denoiser(batch, torch.full((len(batch),), t, device=x.device), conditioning, active)
        if guided:
            without, towards = prediction.chunk(2)
            scale = guidance if camera is None else guidance * camera.guidance_at(progress)
            prediction = without + scale * (towards - without)
        if camera is not None and camera.acts_at(progress):
            clean = camera(schedule.clean_and_noise(x, prediction, t)[0], progress)
            x = schedule.noisy(clean, schedule.noise(x, clean, t), below)
        else:
            x = schedule.move(x, prediction, t, below)
    return x


def random_noise(shape: Sequence[int], seed: int, like: Tensor | None = None) -> Tensor:
    """Gaussian start noise, drawn on the CPU so that a seed means the same on every device."""
    noise = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))
    return noise if like is None else noise.to(like)
