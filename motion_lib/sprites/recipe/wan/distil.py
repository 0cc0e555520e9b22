"""Stage 3 of `sprite_wan`: a low-rank companion with which 4 steps without guidance do.

The model itself samples with guidance in many steps; from each of 4 points of such a path the companion learns the
straight way to the next (progressive distillation, Salimans and Ho 2022, arXiv 2202.00512, with the guidance distilled
as in Meng et al. 2023, arXiv 2210.03142), as a low-rank change of the blocks' matrices (Hu et al. 2021, arXiv
2106.09685). Half of the paths begin where the companion's own first steps lead, because errors add up over steps, and
what is only ever shown the model's own points never learns to mend them (DAgger, Ross et al. 2011, arXiv 1011.0686).
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import checkpoint
from ..run import Run
from ..workers import FlatGradient
from . import transformer
from .design import LATENT_CHANNELS, LATENT_FRAMES, LATENT_SIDE, SHORT_LATENT_FRAMES
from .dit import Transformer, rotary
from .sampling import noise_levels, path
from .store import LatentStore
from .transformer import SHORT_EVERY

FILE = "wan_companion.pt"
RANK = 24
STEPS = 4
TEACHER = 20  # steps of the model's own sampling, a multiple of STEPS
GUIDANCE = 4.0
OWN_AFTER = 100  # steps of training, from which on the companion's own points are learned from


class Companion(nn.Module):
    """Low-rank changes of every matrix in a transformer's blocks, acting in it from now on; nothing at first.

    names: of the matrices, as in the transformer's files; changes: of each, `[RANK, in]` and `[out, RANK]`.
    """

    def __init__(self, model: Transformer):
        super().__init__()
        linears = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
        self.names = [name for name in linears if name.startswith("blocks.")]
        chosen = [linears[name] for name in self.names]
        self.changes = nn.ModuleList(_LowRank(part.in_features, part.out_features) for part in chosen)
        for part, change in zip(chosen, self.changes, strict=True):
            part.register_forward_hook(_adding(change))
        self.to(chosen[0].weight.device)

    def tensors(self) -> dict[str, Tensor]:
        """The changes by the names that hosts of Wan know low-rank changes by."""
        inside = {"down.weight": "lora_A.weight", "up.weight": "lora_B.weight"}
        found: dict[str, Tensor] = {}
        for name, change in zip(self.names, self.changes, strict=True):
            found |= {f"diffusion_model.{name}.{inside[part]}": value for part, value in change.state_dict().items()}
        return found


class _LowRank(nn.Sequential):
    def __init__(self, inputs: int, outputs: int):
        down, up = nn.Linear(inputs, RANK, bias=False), nn.Linear(RANK, outputs, bias=False)
        nn.init.zeros_(up.weight)
        super().__init__(OrderedDict(down=down, up=up))


def _adding(change: nn.Module):
    return lambda part, seen, out: out + change(seen[0])


class Paths:
    """Points of paths of the teacher at the companion's levels, with what it was given (`[n, 20, f, h, w]`) and told
    (token ids); `grow` adds some.

    points: of each part `[STEPS + 1 - k, n, 16, f, h, w]`, where k are the steps that the student took before the
    teacher went on.
    """

    def __init__(
        self,
        teacher: transformer.TextToVideo,
        student: transformer.TextToVideo,
        store: LatentStore,
        frames: int,
        generator: torch.Generator,
    ):
        self.teacher, self.student, self.store = teacher, student, store
        self.frames, self.generator = frames, generator
        self.points: list[Tensor] = []
        self.given: list[Tensor] = []
        self.ids: list[Tensor] = []

    @torch.no_grad()
    def grow(self, count: int, own: int = 0) -> None:
        """own: steps of the student to begin with, fewer than STEPS."""
        self.store.renew()
        _, given, ids = self.store.draw(count, self.frames, self.generator)
        shape = (count, LATENT_CHANNELS, self.frames, LATENT_SIDE, LATENT_SIDE)
        noise = torch.randn(shape, generator=self.generator, device=given.device)
        encoder, each = self.teacher.text_encoder, TEACHER // STEPS
        with torch.autocast(given.device.type, torch.bfloat16, enabled=given.is_cuda):
            text, empty = encoder(ids)[0], encoder(self.store.empty.expand(count, -1))[0]
            begun = path(self.student.transformer, noise, text, empty, given, steps=STEPS, guidance=1.0)
            *_, start = noise, *islice(begun, own)
            how = {"steps": TEACHER, "guidance": GUIDANCE, "done": own * each}
            passed = [start, *path(self.teacher.transformer, start, text, empty, given, **how)]
        self.points.append(torch.stack(passed[::each]).to(self.store.dtype))
        self.given.append(given.to(self.store.dtype))
        self.ids.append(ids)

    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Point, target velocity, level `[count]`, given and ids: as many of every step, those of each step from one
        part drawn at random."""
        device, levels = self.ids[0].device, noise_levels(STEPS)
        rows = []
        for step in range(STEPS):
            parts = [i for i, points in enumerate(self.points) if len(points) > STEPS - step]
            part = parts[int(torch.randint(len(parts), (1,), generator=self.generator, device=device))]
            some = count // STEPS + (step < count % STEPS)
            pick = torch.randint(len(self.ids[part]), (some,), generator=self.generator, device=device)
            at = step - (STEPS + 1 - len(self.points[part]))
            here, there = (self.points[part][at + i, pick].float() for i in (0, 1))
            level = torch.full((some,), levels[step], device=device)
            target = (here - there) / (levels[step] - levels[step + 1])
            rows.append((here, target, level, self.given[part][pick].float(), self.ids[part][pick]))
        here, target, level, given, ids = map(torch.cat, zip(*rows, strict=True))
        return here, target, level, given, ids


def train(
    work: Path,
    steps: int,
    batch: int,
    minutes: float,
    device: str,
    *,
    rate: float,
    grow: int,
    photographs: bool,
    compile: bool,
) -> None:
    """Train on one device, or on every GPU of the machine when started by `torchrun`; at every 25th step `grow` paths
    more are there to learn from. The learning rate falls to a hundredth over the run's steps."""
    run = Run(work / FILE, steps, minutes, device)
    teacher, student = (transformer.finished(work, run.device) for _ in range(2))
    torch.manual_seed(3)
    companion = Companion(student.transformer)
    gradient = FlatGradient(companion)
    run.start(companion)
    run.steps = steps and run.first + steps
    optimizer = torch.optim.AdamW(companion.parameters(), lr=rate, weight_decay=0.0, fused=device == "cuda")
    generator = torch.Generator(run.device)
    generator.manual_seed(3 + 1000 * run.rank + run.step)
    store = LatentStore(work, 4 * grow, grow, 20_000_000 * (1 + run.rank) + run.step, run.device, photographs, compile)
    if compile:
        for block in (*teacher.transformer.blocks, *student.transformer.blocks):
            block.compile()
    sizes = LATENT_FRAMES, SHORT_LATENT_FRAMES
    paths = {n: Paths(teacher, student, store, n, generator) for n in sizes}
    for _ in range(8):
        paths[LATENT_FRAMES].grow(grow)
        paths[SHORT_LATENT_FRAMES].grow(grow)
    turns = {n: rotary(n, LATENT_SIDE // 2, LATENT_SIDE // 2, run.device) for n in sizes}
    run.tell(workers=run.workers, paths=8 * grow)
    while run.going:
        length = SHORT_LATENT_FRAMES if run.step % SHORT_EVERY == SHORT_EVERY - 1 else LATENT_FRAMES
        if run.step % 25 == 24:
            turn = run.step // 25
            own = 1 + turn // 4 % (STEPS - 1) if turn // 2 % 2 and run.step > OWN_AFTER else 0
            paths[sizes[turn % 2]].grow(grow, own)
        seen, target, level, given, ids = paths[length].draw(batch * LATENT_FRAMES // length)
        gradient.zero()
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda", cache_enabled=False):
            velocity = student(torch.cat([seen, given], dim=1), level, ids, turns[length])
        loss = (velocity.float() - target).square().mean()
        loss.backward()
        gradient.share(run.workers)
        gradient.clip(1.0)
        pace = run.steps and checkpoint.cosine(run.done, run.steps - run.first, 50)
        for group in optimizer.param_groups:
            group["lr"] = rate * (pace or min(1.0, (run.done + 1) / 50))
        optimizer.step()
        run.count(loss)
        checkpoint.average(run.ema, companion, min(0.998, run.step / (run.step + 60)))
        run.fit(60, 160)
        if run.step % 100 == 0 or run.done in (1, 4, 20, 60):
            run.tell(of=run.steps, loss=round(run.mean().item(), 5))
    run.save(companion)


def finished(work: Path, model: Transformer, device: str) -> Companion:
    """The averaged weights, acting in `model`."""
    state = checkpoint.load(work / FILE, device)
    assert state is not None, f"{work} holds no companion: run the stage distil first"
    companion = Companion(model)
    companion.load_state_dict({name: value.float() for name, value in state["ema"].items()})
    return companion.requires_grad_(False)
