"""Stage 2: text encoder and UNet, trained together on latent clips made as they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..scene import Scenes
from ..vocabulary import TEMPLATES, caption
from . import autoencoder, checkpoint
from .design import FRAMES, SCHEDULER, TEXT_LENGTH, UNET
from .fast import speed_up
from .run import Run
from .text import load_tokenizer, new_text_encoder, tokenize
from .workers import FlatGradient


class TextToVideo(nn.Module):
    """What is trained: ids `[b, tokens]` and noisy latents `[b, 4, f, h, w]` to the predicted velocity."""

    def __init__(self, tokenizer):
        from diffusers import UNet3DConditionModel

        super().__init__()
        self.text_encoder = new_text_encoder(tokenizer)
        self.unet: Any = UNet3DConditionModel(**UNET)

    def forward(self, latents: Tensor, timesteps: Tensor, ids: Tensor) -> Tensor:
        return self.unet(latents, timesteps, self.text_encoder(ids)[0]).sample


class ClipStore:
    """A store of latent clips on the device, filled once and then renewed a few clips at a time, so that the UNet never
    runs out of new ones and never waits for them."""

    def __init__(self, work: Path, clips: int, renew: int, start: int, device: str):
        self.encoder = autoencoder.finished(work, device)
        if device != "cpu":
            self.encoder = self.encoder.to(torch.bfloat16, memory_format=torch.channels_last)
            self.encoder.encoder = torch.compile(self.encoder.encoder)
        self.tokenizer = load_tokenizer(work / "tokenizer")
        self.empty = tokenize(self.tokenizer, [""]).to(device)
        self.device, self.renewed, self.next_seed, self.at = device, renew, 5_000_000 + start, 0
        filled = [self._make() for _ in range(max(1, clips // renew))]
        self.latents, self.ids = (torch.cat(parts) for parts in zip(*filled, strict=True))

    def _make(self) -> tuple[Tensor, Tensor]:
        seed, self.next_seed = self.next_seed, self.next_seed + 1
        ((scenes, latents),) = autoencoder.latent_clips(
            self.encoder, range(seed, seed + 1), self.renewed, self.device, FRAMES
        )
        generator = torch.Generator().manual_seed(seed)
        ids = tokenize(self.tokenizer, captions(scenes, generator)).to(self.device)
        return latents.to(torch.bfloat16), ids

    def renew(self) -> None:
        latents, ids = self._make()
        place = slice(self.at, self.at + len(ids))
        self.latents[place], self.ids[place] = latents, ids
        self.at = (self.at + len(ids)) % len(self.ids)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        pick = torch.randint(len(self.ids), (count,), generator=generator, device=self.device)
        forget = torch.rand(count, 1, generator=generator, device=self.device) < 0.1
        return self.latents[pick].float(), torch.where(forget, self.empty, self.ids[pick])


def captions(scenes: Scenes, generator: torch.Generator) -> list[str]:
    """One for each scene, in a sentence drawn at random."""
    template = torch.randint(len(TEMPLATES), (len(scenes),), generator=generator).tolist()
    return [caption(scenes.words(i), template[i]) for i in range(len(scenes))]


def alphas_cumprod(device: str) -> Tensor:
    from diffusers import DDIMScheduler

    return DDIMScheduler(**SCHEDULER).alphas_cumprod.to(device)


def noised(latents: Tensor, alphas: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy latents, the velocity that is to be predicted for them, and their timesteps, which are drawn at random."""
    timesteps = torch.randint(len(alphas), (len(latents),), generator=generator, device=latents.device)
    noise = torch.randn(latents.shape, generator=generator, device=latents.device)
    alpha = alphas[timesteps].reshape(-1, *[1] * (latents.ndim - 1))
    signal, spread = alpha.sqrt(), (1 - alpha).sqrt()
    return signal * latents + spread * noise, signal * noise - spread * latents, timesteps


def new_model(work: Path, device: str) -> TextToVideo:
    """The untrained model, in the memory layout that its convolutions are fastest in.

    Never put into training mode: the temporal convolutions would drop a tenth of their features, which a small model
    cannot spare.
    """
    torch.manual_seed(1)
    model = TextToVideo(load_tokenizer(work / "tokenizer")).to(device).eval()
    speed_up(model.unet)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            convolution: Any = module  # the stubs do not know this form of `to`
            convolution.to(memory_format=torch.channels_last)
    return model


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
    compile: bool,
    record: bool,
) -> None:
    """Train on one device, or on every GPU of the machine when started by `torchrun`; `batch` is per GPU.

    With `steps` 0 the number of steps is what fits into `minutes`, judged by the first ones.
    """
    run = Run(work / "unet.pt", steps, minutes, device)
    model = new_model(work, run.device)
    gradient = FlatGradient(model)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=device != "cpu"
    )
    if state := run.start(model):
        optimizer.load_state_dict(state["optimizer"])
    generator = torch.Generator(run.device)
    generator.manual_seed(2 + 1000 * run.rank + run.step)
    store = ClipStore(work, clips, renew, 10_000_000 * run.rank + run.step, run.device)
    backward = Backward(model, gradient, alphas_cumprod(run.device), batch, compile, record)
    run.tell(clips=len(store.ids), workers=run.workers)
    while run.going and not (run.steps and run.workers == 1 and run.clock.over()):
        store.renew()
        loss = backward(*store.draw(batch, generator), generator)
        gradient.share(run.workers)
        gradient.clip(1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate * checkpoint.cosine(run.step, run.steps or 10_000, 300)
        optimizer.step()
        run.count(loss)
        if run.step % 10 == 0:
            checkpoint.average(run.ema, model, min(0.999**10, run.step / (run.step + 50)))
        run.fit(50, 150)
        if run.step % 200 == 0 or run.done == 20:
            run.tell(of=run.steps, loss=round(run.mean().item(), 5))
        if run.step % 1000 == 0:
            run.save(model, optimizer=optimizer.state_dict())
    run.save(model, optimizer=optimizer.state_dict())


class Backward:
    """One forward and backward pass into the gradients; on a GPU it is recorded once and replayed, because launching
    thousands of small kernels takes longer than running them."""

    def __init__(
        self, model: TextToVideo, gradient: FlatGradient, alphas: Tensor, batch: int, compile: bool, record: bool
    ):
        self.gradient, self.alphas, self.record = gradient, alphas, record
        self.run = torch.compile(model) if compile else model
        self.device = alphas.device
        side = UNET["sample_size"]
        self.noisy = torch.zeros(batch, 4, FRAMES, side, side, device=self.device)
        self.target = torch.zeros_like(self.noisy)
        self.timesteps = torch.zeros(batch, dtype=torch.long, device=self.device)
        self.ids = torch.zeros(batch, TEXT_LENGTH, dtype=torch.long, device=self.device)
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, latents: Tensor, ids: Tensor, generator: torch.Generator) -> Tensor:
        given = *noised(latents, self.alphas, generator), ids
        for held, values in zip((self.noisy, self.target, self.timesteps, self.ids), given, strict=True):
            held.copy_(values)
        if self.device.type != "cuda" or not self.record:
            return self._pass()
        self.graph = self.graph or self._record()
        self.graph.replay()
        return self.loss.clone()

    def _pass(self) -> Tensor:
        self.gradient.zero()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda", cache_enabled=False):
            velocity = self.run(self.noisy, self.timesteps, self.ids)
        loss = (velocity.float() - self.target).square().mean()
        loss.backward()
        return loss.detach()

    def _record(self) -> torch.cuda.CUDAGraph:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._pass()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.loss = self._pass()
        return graph
