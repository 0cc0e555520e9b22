"""A tiny model, a clip and a motion: what a command needs beside the one input that is bad."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SMALL = ("--frames", "4", "--width", "16", "--height", "16")


@dataclass(frozen=True)
class Assets:
    """Paths that all cases share; none of the files may change."""

    folder: str
    model: str
    """A model in diffusers layout with random weights, 4 frames of 16×16 in a moment."""
    clip: str
    """Four frames of 32×32 in which a bright bar moves."""
    motion: str
    """What `train` made of the clip with the model."""
    checkpoint: str
    """What a training run that was stopped leaves."""


def build_assets(folder: Path) -> Assets:
    import torch

    from motion_lib.checkpoints import save_checkpoint
    from motion_lib.cli import main
    from motion_lib.training import TrainingSettings
    from motion_lib.video import write_video
    from tests.backbones.folders import build
    from tests.runs import begin, finish

    model, clip, motion = folder / "model", folder / "bar.mp4", folder / "bar.safetensors"
    build(model)
    frames = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
    for i in range(4):
        frames[i, :, 8 * i : 8 * i + 8] = 200
    write_video(clip, frames, 8)
    command = ["train", str(clip), "--prompt", "a bar", "--model", str(model), "--out", str(motion), "--steps", "2"]
    assert main([*command, *SMALL]) == 0
    checkpoint = folder / "run.unfinished.safetensors"
    save_checkpoint(checkpoint, finish(begin(TrainingSettings(steps=2))))
    return Assets(*map(str, (folder, model, clip, motion, checkpoint)))
