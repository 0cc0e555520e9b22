"""Does a clip look like what a model has seen? What a model cannot denoise before it has learned anything, it cannot
tell the look of from the motion of either, and the motion then takes the look along."""

from __future__ import annotations

import torch
from torch import Tensor

from ..diffusion.sampling import random_noise

LEVELS = (0.3, 0.5)  # shares of the range of noise, at which clips of a known and of a foreign look are furthest apart
# Above which a clip is far from what a model knows, by the model's name. Measured in docs/settings.md.
MOST = {"sprite_t2v": 0.1}


@torch.no_grad()
def first_loss(denoiser, latents: Tensor, text: Tensor) -> float:
    """Mean squared error of the prediction for latents `[b, c, f, h, w]` under their text, over LEVELS; always of the
    same noise."""
    process, losses = denoiser.process, []
    for level in LEVELS:
        at = torch.tensor([int(level * (len(process) - 1))], device=latents.device)
        noise = random_noise(latents.shape, int(1000 * level)).to(latents)
        predicted = denoiser(process.noisy(latents, noise, at), at, text)
        losses.append((predicted - process.target(latents, noise, at)).square().mean())
    return float(torch.stack(losses).mean())


def warning(name: str, denoiser, latents: Tensor, text: Tensor, remedy: str) -> str | None:
    """A sentence about a clip that, under its caption, is far from what the model of this name knows; None for another
    clip, and for models of which nobody has measured how far is far. remedy: how the look is changed where the sentence
    is read."""
    if name not in MOST:
        return None
    found = first_loss(denoiser, latents, text)
    if found <= MOST[name]:
        return None
    return (
        f"Under its caption, the clip is unlike what {name} knows (loss {found:.2f} before training, and at most "
        f"{MOST[name]:g} in its own look), so its look may come over with its motion: say in the caption what it "
        f"shows, or {remedy}."
    )
