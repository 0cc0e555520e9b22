"""Stage 3: what pictures get right of captions that are drawn at random, judged by the checker."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from ....diffusion.sampling import random_noise
from ....frames_from_images.imagine import imagine
from ....frames_from_images.loading import load_image_model
from ...scene import random_scenes
from ...vocabulary import TEMPLATES, caption
from ..judge import KINDS, judge


def evaluate(
    model: str, pictures: int, guidance: float, steps: int, seed: int, device: str, batch: int, out: Path | None
) -> None:
    """Print, and write to `out`, the shares of pictures that show what their caption says."""
    loaded = load_image_model(model, device)
    shape = loaded.latent_shape(1, loaded.defaults.width, loaded.defaults.height)
    scenes = random_scenes(pictures, 2, generator=torch.Generator().manual_seed(seed))
    words, right = [scenes.words(i) for i in range(pictures)], []
    for start in range(0, pictures, batch):
        part = range(start, min(start + batch, pictures))
        prompts = [caption(words[i], i % len(TEMPLATES)) for i in part]
        noise = torch.cat([random_noise(shape, seed + 1 + i) for i in part]).to(loaded.device, loaded.dtype)
        latents = imagine(loaded, prompts, noise, guidance=guidance, steps=steps)
        for i, picture in zip(part, latents.split(1), strict=True):
            frames = loaded.decode_video(picture).permute(0, 3, 1, 2) / 255
            right.append(judge(frames, words[i])[0])
    result = {"pictures": pictures, "guidance": guidance, "steps": steps, "seed": seed}
    result |= {kind: round(sum(r[kind] for r in right) / pictures, 4) for kind in KINDS}
    result["all"] = round(sum(all(r[kind] for kind in KINDS) for r in right) / pictures, 4)
    print(json.dumps(result), flush=True)
    if out:
        out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
