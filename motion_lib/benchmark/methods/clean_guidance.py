"""Guidance without learning and without a backward pass through the model: while a video is made, its latents are
optimised so that what the model expects to come of them, and how that changes from frame to frame, is as for the
reference. Of the kind of FlowMotion, whose weights and rate are the defaults."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...backbones import VideoModel
from ...diffusion.process import Process
from ...errors import MotionError
from .base import Reference, Request, Untrained


@dataclass(frozen=True)
class CleanGuidance(Untrained):
    """rate, iterations: of Adam on the latents, at every step of sampling up to `end`. likeness, change: the weights of
    the clean estimate's distance from the reference's, and of that of their absolute frame differences."""

    rate: float = 3e-3
    iterations: int = 3
    end: float = 0.2
    likeness: float = 20.0
    change: float = 5.0

    @property
    def recipe(self) -> Hashable:
        return "clean guidance", self

    def sample(self, model: VideoModel, reference: Reference, learned: Any, request: Request) -> Tensor:
        if request.pictures:
            raise MotionError("The method clean_guidance is made for videos from text: leave it or the pictures out.")
        denoiser, process = model.denoiser, model.denoiser.process
        text, empty = model.encode_prompt(list(request.prompts)), model.encode_prompt([""] * len(request.prompts))
        both = torch.cat([empty, text])
        timesteps, x = process.timesteps(request.steps), request.fresh
        for t, below in zip(timesteps, [*timesteps[1:], process.clean_end], strict=True):
            with torch.no_grad():
                without, towards = denoiser(torch.cat([x, x]), _at(t, both), both).chunk(2)
                prediction = without + request.guidance * (towards - without)
                if process.progress(t) <= self.end:
                    noisy = process.noisy(reference.latents.expand_as(x), request.fresh, _at(t, x))
                    wanted, _ = process.clean_and_noise(noisy, denoiser(noisy, _at(t, empty), empty), t)
                    x = self.guided(process, x, prediction, t, wanted)
                x = process.move(x, prediction, t, below)
        return x

    def guided(self, process: Process, x: Tensor, prediction: Tensor, t: Any, wanted: Tensor) -> Tensor:
        """Latents `[b, c, f, h, w]` after a few steps towards the reference's clean estimate `wanted`; what the model
        predicts counts as fixed."""
        live = x.detach().float().clone().requires_grad_()
        optimizer = torch.optim.Adam([live], lr=self.rate)
        with torch.enable_grad():
            for _ in range(self.iterations):
                clean, _ = process.clean_and_noise(live, prediction.detach().float(), t)
                (live.grad,) = torch.autograd.grad(self.loss(clean, wanted.float()), [live])
                optimizer.step()
        return live.detach().to(x)

    def loss(self, clean: Tensor, wanted: Tensor) -> Tensor:
        """Means over each video, added up over videos, so that these do not depend on each other."""
        likeness = (clean - wanted).square().mean(dim=(1, 2, 3, 4))
        change = (clean.diff(dim=2).abs() - wanted.diff(dim=2).abs()).square().mean(dim=(1, 2, 3, 4))
        return (self.likeness * likeness + self.change * change).sum()


def _at(t: Any, like: Tensor) -> Tensor:
    return torch.full((len(like),), t, device=like.device)
