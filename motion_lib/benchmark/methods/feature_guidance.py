"""DMT (Yatim et al., arXiv 2311.17009): no training; while a video is made, its latents are optimised so that its
features change over time as the reference's do."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from einops import reduce
from torch import Tensor

from ...backbones import VideoModel
from ...diffusion.noise import mix
from ...errors import MotionError
from .adapters import AdaptedDenoiser
from .base import Reference, Request, Untrained


@dataclass(frozen=True)
class FeatureGuidance(Untrained):
    """site: the module of the UNet whose output are the features. rate, iterations: of Adam on the latents, at every
    timestep of the first part of sampling, up to `end`. noise, noise_weight: of the start noise; in the paper the low
    frequencies are the reference's (sec. 4.3)."""

    site: str = "up_blocks.2"
    rate: float = 0.02
    iterations: int = 5
    end: float = 0.5
    noise: str = "low_frequency"
    noise_weight: float = 1.0

    @property
    def recipe(self) -> Hashable:
        return "feature guidance", self

    def sample(self, model: VideoModel, reference: Reference, learned: Any, request: Request) -> Tensor:
        denoiser, process = AdaptedDenoiser(model), model.denoiser.process
        text, empty = model.encode_prompt(list(request.prompts)), model.encode_prompt([""])
        both = torch.cat([empty.expand_as(text), text])
        timesteps = process.timesteps(request.steps)
        wanted = self._features(denoiser, reference.inverted, empty, timesteps)
        x = mix(reference.inverted, request.fresh, self.noise_weight, self.noise)
        for t, below in zip(timesteps, [*timesteps[1:], process.clean_end], strict=True):
            if t in wanted:
                x = self._guided(denoiser, x, t, text, wanted[t])
            with torch.no_grad():
                prediction = denoiser(torch.cat([x, x]), _at(t, both), both)
                without, towards = prediction.chunk(2)
                x = process.move(x, without + request.guidance * (towards - without), t, below)
        return x

    @torch.no_grad()
    def _features(self, denoiser: AdaptedDenoiser, x: Tensor, text: Tensor, timesteps: list[int]) -> dict[int, Tensor]:
        """The features of the reference on its way from its noise, `[1, f, c]` per guided timestep."""
        process, found = denoiser.process, {}
        for t, below in zip(timesteps, [*timesteps[1:], process.clean_end], strict=True):
            if process.progress(t) > self.end:
                break
            with _watching(denoiser, self.site) as seen:
                prediction = denoiser(x, _at(t, x), text)
            found[t] = spatial_marginal_mean(seen[0], x.shape[2])
            x = process.move(x, prediction, t, below)
        return found

    def _guided(self, denoiser: AdaptedDenoiser, x: Tensor, t: int, text: Tensor, wanted: Tensor) -> Tensor:
        live = x.detach().float().clone().requires_grad_()
        optimizer = torch.optim.Adam([live], lr=self.rate)
        for _ in range(self.iterations):
            with torch.enable_grad(), _watching(denoiser, self.site) as seen:
                denoiser(live.to(x), _at(t, x), text)
                loss = difference_loss(spatial_marginal_mean(seen[0], x.shape[2]), wanted)
                (live.grad,) = torch.autograd.grad(loss, [live])
            optimizer.step()
        return live.detach().to(x)

    def shared(self, reference: Reference, learned: Any) -> dict[str, Tensor]:
        return {"inverted": reference.inverted}  # which holds the features, too


def spatial_marginal_mean(features: Tensor, frames: int) -> Tensor:
    """The spatial marginal mean `[b, f, c]` of features `[(b f), c, h, w]` (DMT, sec. 4.1)."""
    return reduce(features.float(), "(b f) c h w -> b f c", "mean", f=frames)


def difference_loss(features: Tensor, wanted: Tensor) -> Tensor:
    """Σ over videos of the mean over pairs of frames of ‖(φ_i − φ_j) − (φ*_i − φ*_j)‖², of spatial marginal means
    `[b, f, c]` (DMT, eq. 4 and 5, with a mean instead of the sum over pairs)."""
    off = features - wanted
    return (off[:, :, None] - off[:, None]).square().sum(dim=-1).mean(dim=(1, 2)).sum()


@contextmanager
def _watching(denoiser: AdaptedDenoiser, site: str) -> Iterator[list[Tensor]]:
    """Collects the output of a module; raises MotionError if there is none of that name."""
    modules = dict(denoiser.network.named_modules())
    if site not in modules:
        raise MotionError(
            f"site is '{site}', but the model has no such module: use one of its own, such as up_blocks.2 of a UNet."
        )
    seen: list[Tensor] = []
    handle = modules[site].register_forward_hook(lambda _, __, output: seen.append(output))
    try:
        yield seen
    finally:
        handle.remove()


def _at(t: int, like: Tensor) -> Tensor:
    return torch.full((len(like),), t, device=like.device)
