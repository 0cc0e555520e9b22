"""Latent clips for training the transformer: a store on the device, renewed a few clips at a time."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...world.captions import known_sentences
from ..text import load_tokenizer, tokenize
from . import autoencoder
from .clips import Clips
from .design import FRAMES
from .vae import VideoAutoencoder

CLASSIC = 0.5  # share of clips in the sprites' own look, which captions name in full


def given_picture(frames: Tensor) -> Tensor:
    """What hosts encode to give a clip's first frame: the frame, and grey after it."""
    grey = torch.zeros_like(frames)
    grey[:, :, :1] = frames[:, :, :1]
    return grey


class LatentStore:
    """Latents `[n, 16, 9, 16, 16]`, the latents of each clip's given first frame, and captions.

    EVERY: at how many steps a batch of `renew` new clips is made; making many at once costs hardly more than a few.

    Every second clip of a batch has its first frame given, and every second of these a caption that names nothing in
    it: with captions that say everything, words alone told the transformer what moves, and shapes melted after the
    first frame wherever words did not name them. Filled once and then renewed `renew` clips at a time, so
    that the transformer never runs out of new ones and never waits for them.
    """

    EVERY = 24

    def __init__(self, work: Path, count: int, renew: int, start: int, device: str, photographs: bool, compile: bool):
        self.encoder = autoencoder.finished(work, device)
        self.dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
        self.encoder = self.encoder.to(self.dtype)
        self.clips = Clips(device, photographs)
        autoencoder.prepare_to_encode(self.encoder, renew + renew // 2, compile)
        self.tokenizer = load_tokenizer(work / "wan_tokenizer", known_sentences())
        self.empty = tokenize(self.tokenizer, [""]).to(device)
        self.device, self.renewed, self.next_seed, self.at, self.steps = device, renew, 5_000_000 + start, 0, 0
        filled = [self._make() for _ in range(max(1, count // renew))]
        self.latents, self.given, self.ids = (torch.cat(parts) for parts in zip(*filled, strict=True))

    def __len__(self) -> int:
        return len(self.ids)

    @torch.no_grad()
    def _make(self) -> tuple[Tensor, Tensor, Tensor]:
        seed, self.next_seed = self.next_seed, self.next_seed + 1
        world, captions = self.clips.draw(self.renewed, FRAMES, seed, CLASSIC)
        frames = self.clips.show(world).to(self.dtype)
        pictures = given_picture(frames[::2])
        encoded = encode(self.encoder, torch.cat([frames, pictures]))
        latents, given = encoded[: len(frames)], torch.zeros_like(encoded[: len(frames)])
        given[::2] = encoded[len(frames) :]
        return latents, given, tokenize(self.tokenizer, captions).to(self.device)

    def renew(self) -> None:
        self.steps += 1
        if self.steps % self.EVERY:
            return
        latents, given, ids = self._make()
        place = slice(self.at, self.at + len(ids))
        self.latents[place], self.given[place], self.ids[place] = latents, given, ids
        self.at = (self.at + len(ids)) % len(self.ids)

    def draw(self, count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """`count` clips of `length` latent frames: latents, mask and given picture `[count, 20, ...]`, token ids, of
        which a tenth are of the empty caption."""
        pick = torch.randint(len(self.ids), (count,), generator=generator, device=self.device)
        forget = torch.rand(count, 1, generator=generator, device=self.device) < 0.1
        latents, given = self.latents[pick, :, :length].float(), self.given[pick, :, :length].float()
        mask = torch.zeros_like(given[:, :4])
        mask[:, :, :1] = (pick % 2 == 0)[:, None, None, None, None]
        return latents, torch.cat([mask, given], dim=1), torch.where(forget, self.empty, self.ids[pick])


def encode(model: VideoAutoencoder, frames: Tensor) -> Tensor:
    return model.encode(frames.to(memory_format=torch.channels_last_3d)).contiguous()
