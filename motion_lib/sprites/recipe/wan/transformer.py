"""Stage 2 of `sprite_wan`: text encoder and transformer, trained together by flow matching on latent clips.

x_σ = (1 − σ)·x_0 + σ·ε, and the model predicts ε − x_0 (Lipman et al. 2023, arXiv 2210.02747); σ is shifted towards
noise as in Esser et al. 2024 (arXiv 2403.03206), section 5.3.2.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import checkpoint
from ..run import Run
from ..text import load_tokenizer, new_text_encoder
from ..workers import FlatGradient
from .design import LATENT_FRAMES, LATENT_SIDE, SHIFT, SHORT_LATENT_FRAMES
from .dit import new_transformer, rotary
from .muon import load_moments, moments, muon_and_adam, take_step
from .store import LatentStore

FILE = "wan_transformer.pt"
SHORT_EVERY = 3  # every third step is of 17 frames


class TextToVideo(nn.Module):
    """What is trained: latents with mask and picture, noise levels and token ids to the velocity."""

    def __init__(self, tokenizer):
        super().__init__()
        self.text_encoder = new_text_encoder(tokenizer)
        self.transformer = new_transformer()

    def forward(self, seen: Tensor, level: Tensor, ids: Tensor, turn: tuple[Tensor, Tensor] | None = None) -> Tensor:
        return self.transformer(seen, level, self.text_encoder(ids)[0], turn)


def new_model(work: Path, device: str) -> TextToVideo:
    from ...world.captions import known_sentences

    torch.manual_seed(1)
    return TextToVideo(load_tokenizer(work / "wan_tokenizer", known_sentences())).to(device).eval()


def optimizers(model: TextToVideo, rate: float, fused: bool) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the transformer's blocks, AdamW for everything else."""
    matrices = [p for p in model.transformer.blocks.parameters() if p.ndim == 2]
    known = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in known]
    return muon_and_adam(matrices, rate, weight_decay=1e-3, fused=fused, others=others)


def train(
    work: Path,
    steps: int,
    batch: int,
    minutes: float,
    device: str,
    *,
    rate: float,
    clips: int,
    renew: int,
    cool: bool,
    photographs: bool,
    compile: bool,
) -> None:
    """Train on one device, or on every GPU of the machine when started by `torchrun`; `batch` clips per device.

    The learning rate stays, or with `cool` falls to a hundredth over the run's steps. With `steps` 0 the number of
    steps is what fits into `minutes`, judged by the first ones.
    """
    run = Run(work / FILE, steps, minutes, device)
    model = new_model(work, run.device)
    gradient = FlatGradient(model)
    both = optimizers(model, rate, fused=device == "cuda")
    state = run.start(model)
    load_moments(both, state)
    run.steps = steps and run.first + steps
    warm = "optimizers" not in state
    generator = torch.Generator(run.device)
    generator.manual_seed(2 + 1000 * run.rank + run.step)
    store = LatentStore(work, clips, renew, 10_000_000 * run.rank + run.step, run.device, photographs, compile)
    if compile:
        for block in model.transformer.blocks:
            block.compile()
    sizes = LATENT_FRAMES, SHORT_LATENT_FRAMES
    turns = {n: rotary(n, LATENT_SIDE // 2, LATENT_SIDE // 2, run.device) for n in sizes}
    run.tell(clips=len(store), workers=run.workers)
    while run.going:
        store.renew()
        length = SHORT_LATENT_FRAMES if run.step % SHORT_EVERY == SHORT_EVERY - 1 else LATENT_FRAMES
        count = batch * LATENT_FRAMES // length
        latents, given, ids = store.draw(count, length, generator)
        noisy, target, level = _noised(latents, generator)
        gradient.zero()
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda", cache_enabled=False):
            velocity = model(torch.cat([noisy, given], dim=1), level, ids, turns[length])
        loss = (velocity.float() - target).square().mean()
        loss.backward()
        gradient.share(run.workers)
        gradient.clip(1.0)
        take_step(both, _pace(run.done, run.steps and run.steps - run.first, warm, cool))
        run.count(loss)
        if run.step % 4 == 0:
            checkpoint.average(run.ema, model, min(0.999**4, run.step / (run.step + 60)))
        run.fit(60, 150)
        if run.step % 200 == 0 or run.done in (1, 2, 3, 4, 6, 20, 60):
            run.tell(of=run.steps, loss=round(run.mean().item(), 5))
        if run.step % 2000 == 0:
            run.save(model, optimizers=moments(both))
    run.save(model, optimizers=moments(both))


def _noised(latents: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy latents, the velocity, and the noise levels: one from every n-th part of the range, in random order."""
    n = len(latents)
    order = torch.randperm(n, generator=generator, device=latents.device)
    u = (order + torch.rand(n, generator=generator, device=latents.device)) / n
    level = SHIFT * u / (1 + (SHIFT - 1) * u)
    noise = torch.randn(latents.shape, generator=generator, device=latents.device)
    sigma = level[:, None, None, None, None]
    return (1 - sigma) * latents + sigma * noise, noise - latents, level


def _pace(done: int, steps: int, warm: bool, cool: bool, warmup: int = 200) -> float:
    """The learning rate's factor."""
    factor = min(1.0, (done + 1) / warmup) if warm else 1.0
    if cool and steps:
        factor *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done / steps)))
    return factor


def finished(work: Path, device: str) -> TextToVideo:
    """The averaged weights."""
    state = checkpoint.load(work / FILE, device)
    assert state is not None, f"{work} holds no transformer: run the stage transformer first"
    model = new_model(work, device)
    model.load_state_dict({name: value.float() for name, value in state["ema"].items()}, strict=False)
    return model.requires_grad_(False)
