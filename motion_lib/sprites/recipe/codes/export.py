"""From a training's state to the encoder's file, with what it has seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....backbones import VideoModel, load_model
from ....codes.codes_file import save_codes
from ....codes.design import Design
from ....codes.model import MotionCodes
from ....codes.reader import Reader
from ....codes.seen import Seen
from ...groups.clips import UNSEEN, GroupMaker, Groups, truth_of
from .. import checkpoint
from .readout import fit_steps
from .train import STATE, new_codes


def export(work: Path, out: Path, device: str, groups: int, state_out: Path | None = None, model: str = "sprite_t2v"):
    """Write the averaged weights. state_out: also as a state of an eighth of the size, from which training carries on
    with new moments. groups: of how many, of eight clips each, the codes are looked at, to say what is far
    from them; as many again are held against it."""
    state = checkpoint.load(work / STATE, device)
    assert state is not None, f"{work} holds no codes: train them first"
    frozen = load_model(model, device)
    codes = averaged(state, frozen).to(device)
    maker = GroupMaker(frozen)
    known, unseen = (_looked_at(codes, maker, groups, seed) for seed in (UNSEEN + 1_000, UNSEEN + 2_000))
    every, looks, shown = (torch.cat(parts) for parts in zip(known, unseen, strict=True))
    loss = fit_steps(codes.steps, every[shown], looks[shown])
    save_codes(out, Reader(codes, Seen.of(known[0], unseen[0])))
    if state_out is not None:
        ema = {name: value.half() for name, value in state["ema"].items()}
        checkpoint.save(state_out, ema=ema, **{key: state[key] for key in ("step", "design", "sites")})
    print(
        json.dumps(
            {"file": out.name, "bytes": out.stat().st_size, "step": state["step"], "camera_loss": round(loss, 5)}
        )
    )


def _looked_at(codes: MotionCodes, maker: GroupMaker, groups: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codes of so many groups' clips, where their cameras look, and whether they show it."""
    found = []
    for i in range(0, groups, 32):
        made = maker.make(min(32, groups - i), seed + i)
        found.append((coded(codes, made), *truth_of(made, "camera")))
    codes_, looks, shown = (torch.cat(parts) for parts in zip(*found, strict=True))
    return codes_, looks, shown


def averaged(state: dict[str, Any], frozen: VideoModel) -> MotionCodes:
    codes = new_codes(Design.of(json.loads(state["design"])), frozen, state["sites"])
    codes.load_state_dict(state["ema"])
    return codes.requires_grad_(False).eval()


@torch.no_grad()
def coded(codes: MotionCodes, groups: Groups) -> Tensor:
    """Codes of all clips of the groups."""
    frames, latents = groups.frames.flatten(0, 3).float() / 255, groups.latents.flatten(0, 3).float()
    return torch.cat([codes.encode(f, l)[0] for f, l in zip(frames.split(64), latents.split(64), strict=True)])
