"""Stage 1: the UNet. It begins with sprite_t2v's spatial layers, and learns to do without the temporal ones on latents
of single frames that are made as they are needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....backbones import VideoModel, load_model
from .. import autoencoder, checkpoint
from ..run import Run
from ..unet import alphas_cumprod, captions, noised
from ..workers import FlatGradient
from .design import IMAGE_UNET

FILE = "image_unet.pt"
FORGET = 0.1  # share of pictures that are learned without their caption, for guidance
PICTURES = 2  # of each clip, its first and its last
SAVED_AFTER = 180.0  # seconds


class PictureStore:
    """Latents `[n, 4, h, w]` of frames on a device, and embeddings `[clips, tokens, width]` of their clips' captions:
    filled once and then renewed a few clips at a time, so that the UNet never runs out of new ones and never waits for
    them."""

    def __init__(self, made_by: VideoModel, clips: int, renew: int, start: int):
        self.made_by, self.renewed, self.next_seed, self.at = made_by, renew, 20_000_000 + start, 0
        self.encoder: Any = made_by.codec.vae  # type: ignore[attr-defined]
        self.empty = made_by.encode_prompt([""])
        filled = [self._make() for _ in range(max(1, clips // renew))]
        self.latents, self.text = (torch.cat(parts) for parts in zip(*filled, strict=True))

    def __len__(self) -> int:
        """Pictures."""
        return len(self.latents)

    def _make(self) -> tuple[Tensor, Tensor]:
        """Two frames of some clips, each a picture of its own, and one caption for each clip."""
        seed, self.next_seed = self.next_seed, self.next_seed + 1
        device = str(self.made_by.device)
        ((scenes, latents),) = autoencoder.latent_clips(
            self.encoder, range(seed, seed + 1), self.renewed, device, PICTURES
        )
        text = self.made_by.encode_prompt(captions(scenes, torch.Generator().manual_seed(seed)))
        return latents.transpose(1, 2).flatten(0, 1), text

    def renew(self) -> None:
        latents, text = self._make()
        place = slice(self.at, self.at + len(text))
        self.latents[PICTURES * self.at : PICTURES * (self.at + len(text))], self.text[place] = latents, text
        self.at = (self.at + len(text)) % len(self.text)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        pick = torch.randint(len(self), (count,), generator=generator, device=generator.device)
        forget = torch.rand(count, 1, 1, generator=generator, device=generator.device) < FORGET
        return self.latents[pick], torch.where(forget, self.empty, self.text[pick // PICTURES])


def new_model(device: str, video: Mapping[str, Tensor] | None = None) -> Any:
    """The UNet as it is before training: with the spatial layers of a UNet3DConditionModel of these weights, or
    random."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    torch.manual_seed(1)
    model = UNet2DConditionModel(**IMAGE_UNET)
    if video is not None:
        start = {name: begun_with(video[name_in_video(name)], old) for name, old in model.state_dict().items()}
        model.load_state_dict(start)
    module: Any = model  # the stubs do not know this form of `to`
    return module.to(device, memory_format=torch.channels_last)


def name_in_video(name: str) -> str:
    """Of a weight of the image model, the name of the one of sprite_t2v that it begins with.

    The level below the last is left out there, so that levels on the way up have a higher number, and the middle, which
    has another width there, begins with the last layer before it.
    """
    name = re.sub(r"^up_blocks\.(\d)", lambda found: f"up_blocks.{int(found[1]) + 1}", name)
    return re.sub(r"^mid_block\.(resnets|attentions)\.\d", r"down_blocks.2.\1.1", name)


def begun_with(weight: Tensor, old: Tensor) -> Tensor:
    """A weight of the video model in the shape of the image model's.

    Transformers of video models begin and end with a linear layer, those of SD 1.5 with a 1×1 convolution. The first
    layer on the way up is wider than there by features of the middle: it begins with what it made of the others alone.
    """
    if weight.numel() == old.numel():
        return weight.reshape(old.shape)
    axis = 1 if old.ndim > 1 else 0
    fresh = torch.zeros_like(old) if axis else torch.ones_like(old)
    fresh.narrow(axis, old.shape[axis] - weight.shape[axis], weight.shape[axis]).copy_(weight)
    return fresh


def velocity_loss(model: Any, latents: Tensor, text: Tensor, alphas: Tensor, generator: torch.Generator) -> Tensor:
    """The squared error of the predicted velocity at random timesteps."""
    noisy, target, timesteps = noised(latents, alphas, generator)
    with torch.autocast(latents.device.type, torch.bfloat16, enabled=latents.is_cuda):
        predicted = model(noisy, timesteps, text, return_dict=False)[0]
    return (predicted.float() - target).square().mean()


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
) -> None:
    """Train on one device, or on every GPU of the machine when started by `torchrun`; `batch` is per GPU.

    With `steps` 0 the number of steps is what fits into `minutes`, judged by the first ones.
    """
    run = Run(work / FILE, steps, minutes, device)
    teacher = load_model("sprite_t2v", run.device)
    model = new_model(run.device, teacher.denoiser.unet.state_dict())  # type: ignore[attr-defined]
    gradient = FlatGradient(model)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=device != "cpu"
    )
    if state := run.start(model):
        optimizer.load_state_dict(state["optimizer"])
    generator = torch.Generator(run.device)
    generator.manual_seed(3 + 1000 * run.rank + run.step)
    store = PictureStore(teacher, clips, renew, 1_000_000 * run.rank + run.step)
    alphas, ready = alphas_cumprod(run.device), torch.compile(model) if compile else model
    run.tell(pictures=len(store), parameters=sum(p.numel() for p in model.parameters()), workers=run.workers)
    saved = run.clock.seconds
    while run.going and not (run.steps and run.workers == 1 and run.clock.over()):
        store.renew()
        gradient.zero()
        loss = velocity_loss(ready, *store.draw(batch, generator), alphas, generator)
        loss.backward()
        gradient.share(run.workers)
        gradient.clip(1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate * checkpoint.cosine(run.step, run.steps or 10_000, 50)
        optimizer.step()
        run.count(loss)
        if run.step % 10 == 0:
            checkpoint.average(run.ema, model, min(0.995**10, run.step / (run.step + 50)))
        run.fit(20, 60)
        if run.step % 50 == 0 or run.done == 20:
            run.tell(of=run.steps, loss=round(run.mean().item(), 5))
        if run.clock.seconds - saved > SAVED_AFTER:
            run.save(model, optimizer=optimizer.state_dict())
            saved = run.clock.seconds
    run.save(model, optimizer=optimizer.state_dict())
