"""What one step of training computes: codes of all clips of a batch of groups, and the losses they are learned by."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ....codes import losses
from ....codes.decoder import patch_of
from ....codes.model import MotionCodes
from ....diffusion.denoiser import Denoiser
from ....training.losses import debiased
from ...groups.clips import GROUP, Groups, truth_of

WEIGHTS: dict[str, float] = {
    "denoising": 1.0,
    "path": 1.0,
    "scale": 0.5,
    "angle": 0.2,
    "camera": 1.0,
    "same_motion": 0.1,
    "same_words": 0.1,
    "one_code": 0.2,
    "reversed": 0.1,
    "codebook": 1.0,
}
# What the labels are divided by, so that each error is in units of its own spread.
UNITS: dict[str, tuple[float, ...]] = {
    "path": (0.32,),
    "scale": (0.15,),
    "angle": (0.75,),
    "camera": (0.28, 0.28, 0.1, 0.1),
}
NOISE = 0.1  # added to codes of variance 1: what is smaller than that cannot be told by them
EMPTY = 0.1  # share of the videos that are denoised without their caption, as sampling with guidance needs it


@dataclass
class Lesson:
    """timesteps: the lowest and the highest noise level to learn at. weights: of the losses; one that is 0 is not
    computed. labels: the share of the groups whose truth is told. by_movement: weighs the denoising by what moves."""

    denoiser: Denoiser
    empty: Tensor
    timesteps: tuple[int, int] = (600, 999)
    weights: dict[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    labels: float = 1.0
    noise: float = NOISE
    by_movement: bool = False
    anchors: torch.Generator = field(default_factory=torch.Generator)  # of the processor, so that no GPU is waited for

    def __call__(self, model: MotionCodes, groups: Groups, generator: torch.Generator) -> dict[str, Tensor]:
        """Every loss by its name, and their weighted sum as `loss`."""
        g = len(groups)
        frames = groups.frames.flatten(0, 3).float() / 255
        latents = groups.latents.flatten(0, 3).float()
        codes, codebook = model.encode(frames, latents)
        noisy = codes + self.noise * torch.randn(codes.shape, generator=generator, device=codes.device)
        shaped = noisy.unflatten(0, (g, 2, 2, 2))
        found = {"codebook": codebook} if model.codebook is not None else {}
        found |= self.told(model, noisy, groups)
        if self.weights["one_code"]:
            first, second = codes.unflatten(0, (g, 2, 2, 2)).transpose(0, 1).flatten(1, 3)
            shown = groups.showing.prod(dim=1).flatten()  # a camera that a look hides is in no code of it
            counts = torch.stack([torch.ones_like(shown), shown], dim=-1)[:, None, :, None]
            found["one_code"] = losses.one_code(first, second, counts)
        if self.weights["same_motion"] or self.weights["same_words"]:
            found |= self.compared(model, shaped, groups, generator)
        if self.weights["reversed"]:
            some = slice(0, None, 4)
            backwards, _ = model.encode(frames[some].flip(1), latents[some].flip(2))
            found["reversed"] = losses.reversed_apart(codes[some], backwards)
        if self.weights["denoising"]:
            found["denoising"] = self.denoised(model, shaped, groups, generator)
        total = torch.stack([self.weights[name] * loss.float() for name, loss in found.items()]).sum()
        return found | {"loss": total}

    def told(self, model: MotionCodes, codes: Tensor, groups: Groups) -> dict[str, Tensor]:
        """The heads' errors, in units of the labels' own spread."""
        # By the groups' own numbers, so that a group is told every time it is drawn, or never.
        drawn = (1e4 * groups.path[:, 0, 0].abs().sum(dim=-1)).frac()
        told = (drawn < self.labels).repeat_interleave(GROUP)
        read, found = model.truths(codes), {}
        for name, values in read.items():
            truth, seen = truth_of(groups, name)
            unit = torch.tensor(UNITS[name], device=codes.device)
            if self.weights[name] and self.labels:
                found[name] = losses.labelled(values / unit, truth / unit, (told & seen).float())
        return found

    def compared(
        self, model: MotionCodes, codes: Tensor, groups: Groups, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The contrastive terms: of each object path (of each camera) two clips that share nothing else, in two looks
        and under two cameras (with two objects), and the words that say it."""
        found: dict[str, Tensor] = {}
        one = model.described(codes[:, 0, :, 0].flatten(0, 1))["object"]
        other = model.described(codes[:, 1, :, 1].flatten(0, 1))["object"]
        one_camera = model.described(codes[:, 0, 0].flatten(0, 1))["camera"]
        other_camera = model.described(codes[:, 1, 1].flatten(0, 1))["camera"]
        camera = groups.camera.flatten(0, 1)
        shown = (groups.showing[:, 0, 0] * groups.showing[:, 1, 1]).flatten()
        both = shown[:, None] * shown[None]
        same = ((camera[:, None] - camera[None]).abs().amax(dim=(2, 3)) < 1e-4).float() * both
        if self.weights["same_motion"]:
            path = groups.path.flatten(0, 1)
            alike = (path[:, None] - path[None]).abs().amax(dim=(2, 3)) < 1e-4
            found["same_motion"] = losses.same_motion(one, other, alike)
            found["same_motion"] = found["same_motion"] + losses.same_motion(one_camera, other_camera, same)
        if self.weights["same_words"]:
            total = torch.zeros((), device=codes.device)
            for group, vectors, true in (
                ("object", one, groups.object_words.flatten(0, 1)),
                ("camera", one_camera, groups.camera_words.flatten(0, 1)),
            ):
                asked = true * (torch.rand(true.shape, generator=generator, device=true.device) < 0.6)
                said = model.said(group, asked)
                total = total + losses.same_words(vectors, said, asked, true)
            found["same_words"] = total
        return found

    def denoised(
        self, model: MotionCodes, codes: Tensor, groups: Groups, generator: torch.Generator, strength: float = 1.0
    ) -> Tensor:
        """The debiased denoising loss (MotionDirector, arXiv 2310.08465, eq. 5 and 6), as the preset `object` learns
        by, of every motion in the look whose codes were not used, under that look's caption. In every second group the
        object's and the camera's codes come from two different clips (see `losses.swapped`)."""
        g, device = len(groups), codes.device
        rows = torch.arange(g, device=device)
        look = torch.randint(2, (g,), generator=generator, device=device)
        source = codes[rows, 1 - look]
        crossed = (rows % 2 == 1)[:, None, None, None, None, None]
        used = torch.where(crossed, losses.swapped(source), source).flatten(0, 2)
        clean = groups.latents[rows, look].flatten(0, 2).float()
        text = groups.text[rows, look].flatten(0, 2)
        alone = torch.rand(len(text), 1, 1, generator=generator, device=device) < EMPTY
        text = torch.where(alone, self.empty.to(text), text)
        low, high = self.timesteps
        times = torch.randint(low, high + 1, (len(clean),), generator=generator, device=device)
        noise = torch.randn(clean.shape, generator=generator, device=device)
        process = self.denoiser.process
        dtype = groups.latents.dtype
        tensors = {key: (strength * m).to(dtype) for key, m in model.tensors(used).items()}
        patch = patch_of(tensors, model.decoder.empty.grids)
        with torch.autocast(device.type, enabled=False):
            prediction = self.denoiser(process.noisy(clean, noise, times).to(dtype), times, text, [patch]).float()
        target = process.target(clean, noise, times)
        scale = losses.movement_weight(clean) if self.by_movement else 1.0
        return debiased(scale * prediction, scale * target, self.anchors)

    @torch.no_grad()
    def gain(self, model: MotionCodes, groups: Groups) -> float:
        """Denoising these groups with their codes, as a share of what it costs without them; the same noise every
        time."""
        frames, latents = groups.frames.flatten(0, 3).float() / 255, groups.latents.flatten(0, 3).float()
        codes = model.encode(frames, latents)[0].unflatten(0, (len(groups), 2, 2, 2))
        state, costs = self.anchors.get_state(), []
        for strength in (1.0, 0.0):
            self.anchors.manual_seed(0)
            generator = torch.Generator(codes.device)
            generator.manual_seed(0)
            costs.append(self.denoised(model, codes, groups, generator, strength))
        self.anchors.set_state(state)
        return float(costs[0] / costs[1])
