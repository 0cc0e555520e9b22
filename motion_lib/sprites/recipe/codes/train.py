"""Training the codes: one clock, one loop, restarts, one GPU or all of a machine."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ....backbones import VideoModel, load_model
from ....backbones.accelerate.training_modes import Plan, accelerated, faster
from ....benchmark.probes import r_squared
from ....codes.design import TRUTHS, Design
from ....codes.model import MotionCodes
from ....method.embedding import MotionEmbedding
from ....method.records import Origin
from ...groups.clips import UNSEEN, GroupMaker, Groups, truth_of
from .. import checkpoint
from ..run import Run
from ..workers import FlatGradient
from .lesson import WEIGHTS, Lesson
from .store import GroupStore

STATE = "codes.pt"
SITES = "coarse_up"  # where the preset `object` learns
EMA = 0.995
READ_FIRST = 600  # steps without the frozen model: a decoder can learn nothing from codes that say nothing yet
ALIKE_WITHIN = 600
DICTIONARY, AROUND = 5.0, 50.0  # times the others' learning rate
MEAN_SCALE = -1.1  # ln of half image sides


def new_codes(design: Design, model: VideoModel, sites: str = SITES) -> MotionCodes:
    """Untrained, the same for the same design."""
    usual = model.defaults
    _, _, _, height, width = model.latent_shape(usual.frames, usual.width, usual.height)
    torch.manual_seed(1)
    empty = MotionEmbedding.zeros(model.denoiser.backbone, sites, design.frames, (height, width))
    codes = MotionCodes(design, empty.with_tensors({}, origin=Origin(model=model.name)))
    scale: Any = codes.heads["scale"]
    nn.init.constant_(scale.bias, MEAN_SCALE)
    return codes


def train(
    work: Path,
    steps: int,
    minutes: float,
    device: str,
    *,
    batch: int,
    rate: float,
    first: int,
    most: int,
    renew: int,
    model: str = "sprite_t2v",
    sites: str = SITES,
    labels: float = 1.0,
    without: tuple[str, ...] = (),
    by_movement: bool = False,
    plain: bool = False,
    read_first: int = READ_FIRST,
    **design: Any,
) -> dict[str, Any]:
    """Train on one device, or on every GPU of the machine when started by `torchrun` or `accelerate launch`; `batch`
    counts the groups of a step and GPU, of eight clips each.

    With `steps` 0 the number of steps is what fits into `minutes`, judged by the first ones. without: losses to leave
    out. plain: run the frozen model as its library does. read_first: steps before the frozen model joins in. Returns
    what was told last of clips that training never draws.
    """
    run = Run(work / STATE, steps, minutes, device)
    on_gpu = device == "cuda"
    frozen = load_model(model, run.device, torch.bfloat16 if on_gpu else torch.float32)
    made = Design(**design)
    codes = new_codes(made, frozen, sites).to(run.device)
    gradient = FlatGradient(codes)
    optimizer = new_optimizer(codes, rate, on_gpu)
    if (state := run.start(codes)) and "optimizer" in state:
        optimizer.load_state_dict(state["optimizer"])
    generator = torch.Generator(run.device)
    generator.manual_seed(2 + 1000 * run.rank + run.step)
    maker = GroupMaker(frozen)
    unseen = maker.make(16 if on_gpu else 2, UNSEEN)
    store = GroupStore(maker, first, most, renew, 10_000_000 * run.rank + run.step)
    weights = {name: 0.0 if name in without else weight for name, weight in WEIGHTS.items()}
    run.tell(parameters=sum(p.numel() for p in codes.parameters()), groups=store.count, workers=run.workers)
    with ExitStack() as inside:
        denoiser = frozen.denoiser
        if on_gpu and not plain and faster(denoiser.abilities):
            denoiser = inside.enter_context(accelerated(denoiser, Plan("fast", graphs=True)))
        lesson = Lesson(denoiser, frozen.encode_prompt([""]), weights=weights, labels=labels, by_movement=by_movement)
        lesson.anchors.manual_seed(run.step)
        told: dict[str, Tensor] = {}
        seen: dict[str, Any] = {}
        while run.going and not (run.steps and run.workers == 1 and run.clock.over()):
            gradient.zero()
            lesson.weights = weights | {"one_code": weights["one_code"] * ramp(run.step - read_first)}
            if run.step < read_first:
                lesson.weights["denoising"] = 0.0
            groups = store.draw(batch, generator)
            with torch.autocast(device, torch.bfloat16, enabled=on_gpu):
                found = lesson(codes, groups, generator)
            found["loss"].backward()
            gradient.share(run.workers)
            gradient.clip(1.0)
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * checkpoint.cosine(run.step, run.steps or 10_000, 100)
            optimizer.step()
            run.count(found["loss"])
            told = {name: told.get(name, 0) + loss.detach() for name, loss in found.items()}
            if run.step % 10 == 0:
                checkpoint.average(run.ema, codes, min(EMA**10, run.step / (run.step + 50)))
            alone = max(0, read_first - run.first)
            run.fit(alone + 50, alone + 150)
            often = 100 if on_gpu else 10
            if run.step % often == 0 or run.done == 20 or run.step == run.steps:
                count = len(run.values)
                run.mean()
                means = {name: round(float(value) / count, 4) for name, value in told.items()}
                seen = {"r2": shares(codes, unseen, on_gpu)}
                if weights["denoising"]:
                    seen["gain"] = round(lesson.gain(codes, unseen), 4)
                run.tell(of=run.steps, groups=store.count, **means, **seen)
                told = {}
            if run.step % 500 == 0:
                save(run, codes, optimizer, made, sites)
    save(run, codes, optimizer, made, sites)
    return seen


def ramp(step: int) -> float:
    """From 0 to 1 over the steps since the frozen model joined in: codes must say something before they can be asked to
    say it alike in every look."""
    return min(1.0, max(0, step) / ALIKE_WITHIN)


def new_optimizer(codes: MotionCodes, rate: float, fused: bool) -> torch.optim.AdamW:
    """The dictionaries, which begin at zero and hold what is added to the model's features, take larger steps."""
    parts = {DICTIONARY: codes.decoder.dictionaries, AROUND: codes.decoder.around}
    own = {id(p) for part in parts.values() for p in part.parameters()}
    groups: list[dict[str, Any]] = [{"params": [p for p in codes.parameters() if id(p) not in own], "rate": rate}]
    for factor, part in parts.items():
        groups.append({"params": list(part.parameters()), "rate": factor * rate, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), weight_decay=1e-2, fused=fused)


def save(run: Run, codes: MotionCodes, optimizer: torch.optim.Optimizer, design: Design, sites: str) -> None:
    run.save(codes, optimizer=optimizer.state_dict(), design=json.dumps(design.recorded()), sites=sites)


@torch.no_grad()
def shares(codes: MotionCodes, groups: Groups, on_gpu: bool = False) -> dict[str, float]:
    """R² of every head on clips that training never shows, over all frames and clips in which the truth can be seen."""
    with torch.autocast("cuda", torch.bfloat16, enabled=on_gpu):
        found, _ = codes.encode(groups.frames.flatten(0, 3).float() / 255, groups.latents.flatten(0, 3).float())
        read = codes.truths(found)
    return {
        name: round(r_squared(read[name], *truth_of(groups, name)), 3) for names in TRUTHS.values() for name in names
    }
