"""What codes say and what they do not, on clips of the sprite world that training never drew: linear probes of the
truth, of the look, the codes of clips played backwards, and the finding of motions."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..codes.design import GROUPS, TRUTHS
from ..codes.likeness import by_words, recorded
from ..codes.model import MotionCodes
from ..codes.reader import Reader
from ..codes.seen import Seen
from ..codes.words import sentence
from ..method.records import Origin
from ..sprites.groups.clips import UNSEEN, GroupMaker, Groups, truth_of

RIDGE = 1e-3  # of the features' mean variance
LOOKS = ("shape", "colour", "tone", "texture")
AT_ONCE = 16  # groups
TOP = 5


def probe(codes: MotionCodes, maker: GroupMaker, groups: int = 128, files: int = 200) -> dict[str, Any]:
    """Half as many groups of eight clips are probed as are learned from. files: motions that one is found among."""
    known, unseen = (_groups(maker, count, UNSEEN + at) for count, at in ((groups, 5_000), (groups // 2, 6_000)))
    of_known, of_unseen = coded(codes, known), coded(codes, unseen)
    found: dict[str, Any] = {"r2": _linear(of_known, known, of_unseen, unseen)}
    found["look"] = _look(of_known, known, of_unseen, unseen)
    backwards = coded(codes, unseen, reverse=True)
    mean = torch.cat([of_unseen, backwards]).mean(dim=(0, 1), keepdim=True)
    cosine = F.cosine_similarity((of_unseen - mean).flatten(1), (backwards - mean).flatten(1), dim=-1)
    found["reversed"] = round(float(cosine.mean()), 4)
    return found | _found(codes, _groups(maker, -(-files // 4), UNSEEN + 7_000), files)


def _groups(maker: GroupMaker, count: int, seed: int) -> Groups:
    made = [maker.make(min(AT_ONCE, count - i), seed + i) for i in range(0, count, AT_ONCE)]
    return Groups(**{f.name: torch.cat([getattr(each, f.name) for each in made]) for f in fields(Groups)})


@torch.no_grad()
def coded(codes: MotionCodes, groups: Groups, reverse: bool = False) -> Tensor:
    """Codes `[n, f, k, width]` of all clips of the groups, or of the same played backwards."""
    found = []
    frames, latents = groups.frames.flatten(0, 3), groups.latents.flatten(0, 3)
    for some, encoded in zip(frames.split(64), latents.split(64), strict=True):
        pixels, means = some.float() / 255, encoded.float()
        if reverse:
            pixels, means = pixels.flip(1), means.flip(2)
        found.append(codes.encode(pixels, means)[0].float())
    return torch.cat(found)


def _linear(known: Tensor, learned: Groups, unseen: Tensor, held: Groups) -> dict[str, float]:
    """R² of the truth of every frame, by a linear map of the frame's own token."""
    found = {}
    for place, group in enumerate(GROUPS):
        for name in TRUTHS[group]:
            y, seen = truth_of(learned, name)
            map = fitted(known[seen][:, :, place].flatten(0, 1), y[seen].flatten(0, 1))
            truth, shown = truth_of(held, name)
            found[name] = round(r_squared(applied(map, unseen[:, :, place]), truth, shown), 4)
    return found


def _look(known: Tensor, learned: Groups, unseen: Tensor, held: Groups) -> dict[str, float]:
    """By how much a linear classifier of a clip's mean code and its spread beats the commonest answer."""
    found = {}
    summary = [torch.cat([z.mean(dim=1), z.std(dim=1)], dim=-1).flatten(1) for z in (known, unseen)]
    for at, name in enumerate(LOOKS):
        y, truth = (groups.look.flatten(0, 3)[:, at] for groups in (learned, held))
        guess = applied(fitted(summary[0], F.one_hot(y, int(y.max()) + 1).float()), summary[1]).argmax(dim=-1)
        chance = float(truth.bincount().max() / len(truth))
        found[name] = round(float((guess == truth).float().mean()) - chance, 4)
    return found


def fitted(x: Tensor, y: Tensor) -> Tensor:
    """The linear map `[d + 1, n]`, with a constant, of features `[m, d]` to `[m, n]` by ridge regression."""
    x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1).double()
    ground = RIDGE * x.square().mean() * len(x) * torch.eye(x.shape[1], device=x.device, dtype=x.dtype)
    return torch.linalg.solve(x.T @ x + ground, x.T @ y.double()).float()


def applied(map: Tensor, x: Tensor) -> Tensor:
    return x @ map[:-1] + map[-1]


def _found(codes: MotionCodes, groups: Groups, count: int) -> dict[str, float]:
    """Shares of `count` motions, each of one object under one camera, that are found by a clip in another look as the
    first, and by their words among the first five. Words that several motions share may find any of them."""
    shown = coded(codes, groups).unflatten(0, (len(groups), 2, -1))  # [g, look, path × camera, …]
    asked, kept = (shown[:, look].flatten(0, 1)[:count] for look in (0, 1))
    found: dict[str, float] = {}
    vectors = [codes.described(each) for each in (asked, kept)]
    likeness = sum(vectors[0][group] @ vectors[1][group].T for group in GROUPS)
    assert isinstance(likeness, Tensor)
    self = torch.arange(len(asked), device=likeness.device)
    found["found_by_clip"] = round(float((likeness.argmax(dim=1) == self).float().mean()), 4)
    visible = groups.showing.prod(dim=1).flatten()[:count] > 0  # a camera that a look hides cannot be found
    found["found_by_clip_where_seen"] = round(float((likeness.argmax(dim=1) == self)[visible].float().mean()), 4)
    objects = groups.object_words[:, :, None].expand(-1, -1, 2, -1).flatten(0, 2)[:count]
    cameras = groups.camera_words[:, None].expand(-1, 2, -1, -1).flatten(0, 2)[:count]
    reader = Reader(deepcopy(codes).cpu(), Seen(torch.zeros(1), torch.zeros(4 * codes.design.width, 1), 0.0), "probe")
    frames = groups.frames[:, 1].flatten(0, 2)[:count].permute(0, 1, 3, 4, 2).cpu()
    if reader.needs_latents:
        return found
    files = [(str(i), Origin(reading=recorded(reader, reader.read(each)))) for i, each in enumerate(frames)]
    hits = []
    for i in range(len(frames)):
        said = sentence(objects[i], "object") + ", camera " + sentence(cameras[i], "camera")
        first = [int(each.name) for each in by_words(reader, said, files)[:TOP]]
        hits.append(any(bool((objects[j] == objects[i]).all() and (cameras[j] == cameras[i]).all()) for j in first))
    return found | {"found_by_words": round(sum(hits) / len(hits), 4)}


def r_squared(found: Tensor, truth: Tensor, seen: Tensor) -> float:
    """1 − Σ(y − ŷ)² / Σ(y − ȳ)², the mean ȳ of each number over all clips and frames."""
    y, guess = truth[seen].flatten(0, 1), found[seen].flatten(0, 1).float()
    return float(1 - (y - guess).square().sum() / (y - y.mean(dim=0)).square().sum().clamp(min=1e-9))
