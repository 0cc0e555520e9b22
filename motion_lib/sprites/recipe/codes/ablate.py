"""What each part of the codes is for: the recipe with one thing changed at a time, on a short training, by the same
probes. Several processes share the list, each on a GPU of its own or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from ....backbones import load_model
from ....benchmark.probes import probe
from ...groups.clips import GroupMaker
from .. import checkpoint
from .export import averaged
from .train import STATE, train

CHANGES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "inputs: differences": {"inputs": "differences"},
    "inputs: first frame and change": {"inputs": "first_and_change"},
    "inputs: masks": {"inputs": "masks"},
    "inputs: point tracks": {"inputs": "point_tracks"},
    "inputs: latents": {"inputs": "latents"},
    "encoder: linear": {"encoder": "linear"},
    "encoder: convolutional": {"encoder": "convolutional"},
    "encoder: VQ-VAE": {"encoder": "vq"},
    "width 16": {"width": 16},
    "labels 2.5 %": {"labels": 0.025},
    "labels none": {"labels": 0.0},
    "without denoising": {"without": ("denoising",)},
    "without one code for two looks": {"without": ("one_code",)},
    "without contrast of motions": {"without": ("same_motion",)},
    "without words": {"without": ("same_words",)},
    "without reversed": {"without": ("reversed",)},
    "denoising by what moves": {"by_movement": True},
    "no bottleneck: width 512": {"width": 512},
}


def ablate(
    out: Path,
    device: str,
    steps: int,
    read_first: int,
    groups: int,
    share: tuple[int, int],
    names: list[str] | None = None,
    files: int = 200,
) -> None:
    """share: this process's number and how many there are. names: of CHANGES, all by default. Appends a line of JSON
    for each to `rows.jsonl`; `gain` is what denoising with the codes costs as a share of denoising without."""
    out.mkdir(parents=True, exist_ok=True)
    number, count = share
    for name in (names or list(CHANGES))[number::count]:
        work = out / name.replace(" ", "_").replace(":", "").replace("%", "percent")
        changes: dict[str, Any] = {"inputs": "frame_pairs", "encoder": "transformer"} | CHANGES[name]
        usual: dict[str, Any] = {"batch": 16, "rate": 1.5e-3, "first": 128, "most": 2048, "renew": 16}
        last = train(work, steps, 0, device, read_first=read_first, **usual, **changes)
        model = load_model("sprite_t2v", device)
        state = checkpoint.load(work / STATE, device)
        assert state is not None
        codes = averaged(state, model).to(device)
        row = {"change": name, "steps": steps, **last, **probe(codes, GroupMaker(model), groups, files)}
        with (out / "rows.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
        (work / STATE).unlink()
        if device == "cuda":
            torch.cuda.empty_cache()
