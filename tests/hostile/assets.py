"""A tiny model, a clip and a motion: what a command needs beside the one input that is bad."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

from motion_lib.cli import learning

SMALL = ("--frames", "4", "--width", "16", "--height", "16")


@dataclass(frozen=True)
class Assets:
    """Paths that all cases share; none of the files may change."""

    folder: str
    model: str
    """A model in diffusers layout with random weights, 4 frames of 16×16 in a moment."""
    clip: str
    """Four frames of 32×32 in which a bright bar moves."""
    clips: str
    """A folder with that clip and a text of what it shows."""
    published: str
    """A file for `convert`, as the authors of Motion Inversion distribute them."""
    motion: str
    """What `train` made of the clip with the model."""
    stopped: str
    """A folder with what a run of 3 steps leaves that was stopped after 2: out.safetensors and its checkpoint."""


def build_assets(folder: Path) -> Assets:
    import torch

    from motion_lib.cli import main
    from motion_lib.video import write_video
    from tests.backbones.folders import FEW_LEVELS, build

    from .pickles import good, saved  # which needs Assets

    clips, published = folder / "clips", folder / "motion_embed.pt"
    model, clip, motion, stopped = folder / "model", clips / "bar.mp4", folder / "bar.safetensors", folder / "stopped"
    build(model, FEW_LEVELS)
    frames = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
    for i in range(4):
        frames[i, :, 8 * i : 8 * i + 8] = 200
    write_video(clip, frames, 8)
    clip.with_suffix(".txt").write_text("a bar")
    published.write_bytes(saved(good()))
    assets = Assets(*map(str, (folder, model, clip, clips, published, motion, stopped)))
    assert main([*training(assets, 2), "--out", str(motion)]) == 0
    with mock.patch.object(learning, "train", stopping(learning.train, 2)):
        assert main([*training(assets, 3), "--out", str(stopped / "out.safetensors")]) == 130
    return assets


def training(assets: Assets, steps: int) -> tuple[str, ...]:
    """The command line of a short run, without --out."""
    return ("train", assets.clip, "--prompt", "a bar", "--model", assets.model, "--steps", str(steps), *SMALL)


def stopping(train: Callable[..., Iterator], steps: int) -> Callable[..., Iterator]:
    """The same loop, stopped by Ctrl-C after so many steps."""

    def run(*arguments: Any, **options: Any) -> Iterator:
        yield from islice(train(*arguments, **options), steps)
        raise KeyboardInterrupt

    return run
