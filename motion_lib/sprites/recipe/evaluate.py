"""Stage 4: what the trained model gets right, judged by the checker on captions and seeds drawn at random."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import torch
from torch import Tensor

from ...backbones import load_model
from ...metrics.paths import path_correlation, path_extent
from ...sampling import random_noise, sample
from ..checker import check_frames
from ..scene import random_scenes
from ..vocabulary import TEMPLATES, Words, caption

KINDS = ("shape", "colour", "tone", "texture")


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
            verdict, path = _judge(frames, words[i])
            results.append(verdict)
            paths.append(path)
        print(json.dumps(_summary(results, paths)), flush=True)
    summary = {"guidance": guidance, "steps": steps, "seed": seed, **_summary(results, paths)}
    if out:
        out.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def _batched(count: int, size: int) -> list[range]:
    return [range(i, min(i + size, count)) for i in range(0, count, size)]


def _judge(frames: Tensor, asked: Words) -> tuple[dict[str, bool], Tensor]:
    verdicts = check_frames(frames)
    middle = verdicts[len(verdicts) // 2].words
    right = {kind: getattr(middle, kind) == getattr(asked, kind) for kind in KINDS}
    looks = {(v.words.tone, v.words.texture) for v in verdicts}
    right["background"] = right["tone"] and right["texture"]
    right["background_unchanged"] = len(looks) == 1
    right["object_in_every_frame"] = all(v.words.shape for v in verdicts)
    return right, torch.tensor([v.position for v in verdicts])


def _summary(results: list[dict[str, bool]], paths: list[Tensor]) -> dict[str, float]:
    shares = {kind: round(sum(r[kind] for r in results) / len(results), 4) for kind in results[0]}
    seen = [path for path, r in zip(paths, results, strict=True) if r["object_in_every_frame"]]
    pairs = [path_correlation(a, b) for a, b in itertools.combinations(seen, 2)]
    return {
        "clips": len(results),
        **shares,
        "mean_path_extent": round(sum(map(path_extent, seen)) / max(1, len(seen)), 4),
        "mean_path_correlation_between_clips": round(sum(pairs) / max(1, len(pairs)), 4),
        "mean_absolute_path_correlation": round(sum(map(abs, pairs)) / max(1, len(pairs)), 4),
    }
