"""Judging clips that were asked for in words."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from ...metrics.paths import path_correlation, path_extent
from ..checker import check_frames
from ..vocabulary import Words

KINDS = ("shape", "colour", "tone", "texture")


def judge(frames: Tensor, asked: Words) -> tuple[dict[str, bool], Tensor]:
    """What is right of a clip `[f, 3, h, w]` in [0, 1] that should show `asked`, and its object's path `[f, 2]`."""
    verdicts = check_frames(frames)
    middle = verdicts[len(verdicts) // 2].words
    right = {kind: getattr(middle, kind) == getattr(asked, kind) for kind in KINDS}
    looks = {(v.words.tone, v.words.texture) for v in verdicts}
    right["background"] = right["tone"] and right["texture"]
    right["background_unchanged"] = len(looks) == 1
    right["object_in_every_frame"] = all(v.words.shape for v in verdicts)
    return right, torch.tensor([v.position for v in verdicts])


def summary(results: list[dict[str, bool]], paths: list[Tensor]) -> dict[str, float]:
    """The shares of clips that are right, and how much their paths differ."""
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
