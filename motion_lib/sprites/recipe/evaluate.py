"""Stage 4: what the trained model gets right, judged by the checker on captions and seeds drawn at random."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from ...backbones import load_model
from ...diffusion.sampling import random_noise, sample
from ..scene import random_scenes
from ..vocabulary import TEMPLATES, caption
from .judge import judge, summary


def evaluate(model: str, pairs: int, guidance: float, steps: int, seed: int, device: str, batch: int, out: Path | None):
    """Print, and write to `out`, the share of clips that show what their caption says."""
    loaded = load_model(model, device)
    shape = loaded.latent_shape(loaded.defaults.frames, loaded.defaults.width, loaded.defaults.height)
    scenes = random_scenes(pairs, 2, generator=torch.Generator().manual_seed(seed))
    words = [scenes.words(i) for i in range(pairs)]
    results, paths = [], []
    for part in _batched(pairs, batch):
        text = loaded.encode_prompt([caption(words[i], i % len(TEMPLATES)) for i in part])
        empty = loaded.encode_prompt([""] * len(part))
        noise = torch.cat([random_noise(shape, seed + 1 + i) for i in part]).to(loaded.device, loaded.dtype)
        latents = sample(loaded.denoiser, noise, text, unconditional=empty, guidance=guidance, steps=steps)
        for i, clip in zip(part, latents.split(1), strict=True):
            frames = loaded.decode_video(clip).permute(0, 3, 1, 2) / 255
            verdict, path = judge(frames, words[i])
            results.append(verdict)
            paths.append(path)
        print(json.dumps(summary(results, paths)), flush=True)
    result = {"guidance": guidance, "steps": steps, "seed": seed, **summary(results, paths)}
    if out:
        out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _batched(count: int, size: int) -> list[range]:
    return [range(i, min(i + size, count)) for i in range(0, count, size)]
