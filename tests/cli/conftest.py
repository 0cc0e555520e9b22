"""A small random-weight model in the layout of ZeroScope, and a clip to learn from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from motion_lib.cli import learning, main
from motion_lib.video import write_video
from tests.backbones.folders import build

SMALL = ["--frames", "4", "--width", "16", "--height", "16"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> str:
    return str(build(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> str:
    """Four frames of 32×32 in which a bright bar moves."""
    frames = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
    for i in range(4):
        frames[i, :, 8 * i : 8 * i + 8] = 200
    path = tmp_path_factory.mktemp("clips") / "bar.mp4"
    write_video(path, frames, 8)
    return str(path)


@pytest.fixture
def train(folder: str, clip: str) -> Callable[..., int]:
    """Run `train` into a file, with further options."""

    def run(out: Path, *options: str) -> int:
        steps = () if "--steps" in options else ("--steps", "4")
        prompt = () if "--prompt" in options else ("--prompt", "a bar")
        return main(["train", clip, *prompt, "--model", folder, "--out", str(out), *SMALL, *steps, *options])

    return run


@pytest.fixture(scope="session")
def motion(folder: str, clip: str, tmp_path_factory) -> str:
    """A trained file."""
    out = tmp_path_factory.mktemp("motions") / "bar.safetensors"
    command = ["train", clip, "--prompt", "a bar", "--model", folder, "--out", str(out), *SMALL, "--steps", "4"]
    assert main(command) == 0
    return str(out)


@pytest.fixture
def stop_after(monkeypatch):
    """Make training raise KeyboardInterrupt after some steps, as Ctrl-C does."""
    original = learning.train

    def arrange(steps: int) -> None:
        def interrupted(*arguments):
            for state in original(*arguments):
                yield state
                if state.step == steps:
                    raise KeyboardInterrupt

        monkeypatch.setattr(learning, "train", interrupted)

    yield arrange
    monkeypatch.setattr(learning, "train", original)
