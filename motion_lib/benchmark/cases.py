"""What methods are tried on: a reference clip and the prompts that its motion is given to.

Rendered cases are seeded: each motion has a look of its own, and no prompt shares shape, colour, tone or texture with
its reference, so that what is taken over from the look can be seen. Where the camera moves, all textures are such that
it can be seen; where the object turns, all shapes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import MotionError
from ..sprites import COLOURS, SHAPES, SYMMETRY, TEXTURES, TONES, Scenes, Words, caption, render
from ..sprites.motions import MOTIONS, SEARCH_MOTIONS, reference

SHOW_THE_CAMERA = ("checkered", "dotted", "cloudy")


@dataclass(frozen=True)
class Case:
    """frames: the reference, uint8 `[f, h, w, 3]`. prompt: what it shows. truth: its one scene, None for a clip that
    was not rendered."""

    name: str
    frames: Tensor
    prompt: str
    prompts: tuple[str, ...]
    truth: Scenes | None = None

    def seed(self, prompt: int, seed: int) -> int:
        """The seed of one video's start noise: every video of a benchmark has its own, the same for every method."""
        return zlib.crc32(f"{self.name}/{prompt}/{seed}".encode())


def rendered_case(motion: str, prompts: int, frames: int = 16, size: int = 128, look: int = 0) -> Case:
    """A reference of `size`² pixels that moves by `motion`, and that many prompts; `look` is the seed of the words.

    Raises MotionError for an unknown motion, or fewer than one prompt.
    """
    known = MOTIONS | SEARCH_MOTIONS
    if motion not in known:
        raise MotionError(f"There is no motion '{motion}': choose from {', '.join(known)}.")
    if prompts < 1:
        raise MotionError(f"prompts is {prompts}, but every motion needs at least 1.")
    seed = zlib.crc32(f"{motion}/{look}".encode())
    generator = torch.Generator().manual_seed(seed)
    moves = known[motion](torch.linspace(0, 1, 2))
    kinds: dict[str, tuple[str, ...]] = {
        "shape": tuple(SYMMETRY) if "angle" in moves else SHAPES,
        "colour": tuple(COLOURS),
        "tone": tuple(TONES),
        "texture": SHOW_THE_CAMERA if {"camera", "zoom", "roll"} & moves.keys() else TEXTURES,
    }
    order = {kind: _shuffled(words, generator) for kind, words in kinds.items()}
    own = Words(**{kind: words[0] for kind, words in order.items()})
    # Round again through what is left when a kind has fewer words than there are prompts.
    others = [Words(**{k: words[1 + i % (len(words) - 1)] for k, words in order.items()}) for i in range(prompts)]
    scenes = reference(motion, own, frames, seed)
    return Case(motion, as_frames(render(scenes, size)[0]), caption(own), tuple(map(caption, others)), scenes)


def clip_cases(clips: Iterable[tuple[str, Tensor, str]], prompts: Sequence[str]) -> list[Case]:
    """Cases of a user's own clips: (name, uint8 `[f, h, w, 3]`, what it shows) each. Their true motion is not known, so
    they are scored against the clips themselves. Raises MotionError for two of one name."""
    clips = list(clips)
    if len({name for name, _, _ in clips}) < len(clips):
        raise MotionError("Two clips have the same name, under which their results are kept: rename one of the files.")
    return [Case(name, frames, shows, tuple(prompts)) for name, frames, shows in clips]


def as_frames(rendered: Tensor) -> Tensor:
    """uint8 `[f, h, w, 3]` of a rendered clip `[f, 3, h, w]` in [0, 1]."""
    return (rendered * 255).round().byte().permute(0, 2, 3, 1).contiguous()


def _shuffled(words: Sequence[str], generator: torch.Generator) -> list[str]:
    return [words[int(i)] for i in torch.randperm(len(words), generator=generator)]
