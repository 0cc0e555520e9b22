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
    images: str
    """An image model in diffusers layout."""
    editing: str
    """Another, which edits by instruction."""
    wan: str
    """A model of Wan in diffusers layout, with a text encoder of UMT5's kind; empty where diffusers has no Wan."""
    wan_files: str
    """Another in single files, wan.safetensors and autoencoder.safetensors."""
    stacked: str
    """What `train` made of the clip with the former: a file of version 3."""


def build_assets(folder: Path) -> Assets:
    import torch

    from motion_lib.cli import main
    from motion_lib.video import write_video
    from tests.backbones.folders import FEW_LEVELS, build
    from tests.frames_from_images import folders as image_folders

    from .pickles import good, saved  # which needs Assets
    from .wan_models import MISSING

    clips, published = folder / "clips", folder / "motion_embed.pt"
    model, clip, motion, stopped = folder / "model", clips / "bar.mp4", folder / "bar.safetensors", folder / "stopped"
    build(model, FEW_LEVELS)
    frames = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
    for i in range(4):
        frames[i, :, 8 * i : 8 * i + 8] = 200
    write_video(clip, frames, 8)
    clip.with_suffix(".txt").write_text("a bar")
    published.write_bytes(saved(good()))
    names = ("images", "editing", "wan", "wan_files", "stacked.safetensors")
    images, editing, wan, files, stacked = (folder / name for name in names)
    image_folders.build(images)
    image_folders.build(editing, in_channels=8)
    paths = (folder, model, clip, clips, published, motion, stopped, images, editing, wan, files, stacked)
    assets = Assets(*map(str, paths))
    assert main([*training(assets, 2), "--out", str(motion)]) == 0
    if not MISSING:
        build_wan(wan, files)
        more = ("--model", str(wan), "--frames", "5", "--force-rate", "16")  # the clip has four
        assert main([*training(assets, 2), *more, "--out", str(stacked)]) == 0
    with mock.patch.object(learning, "train", stopping(learning.train, 2)):
        assert main([*training(assets, 3), "--out", str(stopped / "out.safetensors")]) == 130
    return assets


def build_wan(folder: Path, files: Path) -> None:
    """As diffusers saves one, and another as ComfyUI has it."""
    import json
    import shutil

    import torch
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
    from safetensors.torch import save_file
    from transformers import UMT5Config, UMT5EncoderModel

    from motion_lib.backbones.wan.tiny import TEXT_WIDTH, tiny_transformer
    from motion_lib.sprites.recipe.wan.vae import VideoAutoencoder
    from tests.backbones.test_text import build_tokenizer
    from tests.backbones.test_wan_files import TEXT_DIM, randomised, transformer, weights

    torch.manual_seed(0)
    for path, width in ((folder, TEXT_WIDTH), (files, TEXT_DIM)):
        build_tokenizer(path / "tokenizer")
        (path / "tokenizer" / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 512}))
        config = UMT5Config(vocab_size=100, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
        UMT5EncoderModel(config).eval().save_pretrained(path / "text_encoder")
    tiny_transformer(in_channels=16, out_channels=16).save_pretrained(folder / "transformer")
    randomised(AutoencoderKLWan(base_dim=4)).save_pretrained(folder / "vae")
    (folder / "scheduler").mkdir()
    flow = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0, "num_train_timesteps": 1000}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(flow))
    shutil.copytree(folder / "scheduler", files / "scheduler")
    save_file(weights(transformer(16)), files / "wan.safetensors")
    save_file(weights(randomised(VideoAutoencoder(4))), files / "autoencoder.safetensors")


def training(assets: Assets, steps: int) -> tuple[str, ...]:
    """The command line of a short run, without --out."""
    return ("train", assets.clip, "--prompt", "a bar", "--model", assets.model, "--steps", str(steps), *SMALL)


def stopping(train: Callable[..., Iterator], steps: int) -> Callable[..., Iterator]:
    """The same loop, stopped by Ctrl-C after so many steps."""

    def run(*arguments: Any, **options: Any) -> Iterator:
        yield from islice(train(*arguments, **options), steps)
        raise KeyboardInterrupt

    return run
