"""What methods are tried on: a reference clip and the prompts that its motion is given to.

Rendered cases are seeded: each motion has a look of its own, and no prompt shares shape, colour, tone or texture with
its reference, so that what is taken over from the look can be seen. Where the camera moves, all textures are such that
it can be seen; where the object turns, all shapes. Foreign cases are the same motions, prompts and truth, but the
reference is drawn in a look that no bundled model was trained on.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import MotionError
from ..sprites import COLOURS, SHAPES, SYMMETRY, TEXTURES, TONES, Scenes, Words, caption, parse_caption, render
from ..sprites.motions import MOTIONS, SEARCH_MOTIONS, reference
from ..sprites.stand_ins import stand_ins
from ..sprites.world import foreign_worlds, from_scenes, render_world
from ..video.look import LOOKS_WITH_MODEL, REDRAWN, in_look

if TYPE_CHECKING:
    from .pictures import Start

SHOW_THE_CAMERA = ("checkered", "dotted", "cloudy")
# What a clip in one of these looks shows besides its shape.
SHOWN_IN = {"neutral_background": {}, "flat_object": {"colour": "red"}}


# The object of one motion, and under whose camera it is put.
CROSSED = {
    "figure_eight": "pan",
    "spiral": "shake",
    "zigzag": "tilt",
    "bounce": "pan",
    "orbit": "zoom",
    "stop_and_go": "tilt",
}


@dataclass(frozen=True)
class Case:
    """frames: the reference, uint8 `[f, h, w, 3]`. prompt: what it shows. truth: its one scene, None for a clip that
    was not rendered; foreign: whether only the motion of that scene is shown, in another look. pictures: with what the
    prompts' videos begin, uint8 `[h, w, 3]` each, and starts, where their objects are; empty for videos from text.
    parts: the cases whose object and whose camera this one has together, for what makes a motion of two clips."""

    name: str
    frames: Tensor
    prompt: str
    prompts: tuple[str, ...]
    truth: Scenes | None = None
    foreign: bool = False
    pictures: tuple[Tensor, ...] = ()
    starts: tuple[Start, ...] = ()
    parts: tuple[Case, ...] = ()

    def in_look(self, look: str, redraw: Callable[[Tensor], Tensor] | None = None) -> Case:
        """The same with its clip in one of LOOKS_WITH_MODEL, drawn again by `redraw`, and a prompt that says what is
        then seen; itself where the clip has to be taken as it is, as under a moving camera. Raises MotionError for an
        unknown look."""
        if look not in LOOKS_WITH_MODEL:
            raise MotionError(f"look is '{look}', but it must be one of {', '.join(LOOKS_WITH_MODEL)}.")
        try:
            frames = in_look(self.frames, look, redraw=redraw)
        except MotionError:  # nothing that moves can be told from the background
            return self
        if frames is self.frames:
            return self
        words = parse_caption(self.prompt)
        if words.shape is None or look == REDRAWN:
            return replace(self, frames=frames)
        words = replace(words, tone="grey", texture="plain", **SHOWN_IN[look])
        return replace(self, frames=frames, prompt=caption(words))

    def stand_ins(self) -> list[Case]:
        """What stands in for its clip, with what each shows; itself alone where the camera moves."""
        try:
            return [replace(self, frames=each.frames, prompt=each.prompt) for each in stand_ins(self.frames)]
        except MotionError:
            return [self]

    def start_of(self, prompt: str) -> Start:
        """Where the object of this prompt's picture is."""
        return self.starts[self.prompts.index(prompt)]

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


def crossed_case(motion: str, camera: str, prompts: int, frames: int = 16, size: int = 128, look: int = 0) -> Case:
    """The object of one motion under the camera of another, with the two cases that show one of them each. The prompts
    are those of the camera's, whose textures show how it moves.

    Raises MotionError as `rendered_case` does.
    """
    first, second = (rendered_case(name, prompts, frames, size, look) for name in (motion, camera))
    assert first.truth is not None and second.truth is not None
    held = {name: getattr(first.truth, name) for name in ("position", "radius", "angle")}
    truth = replace(second.truth, **held)
    shown = as_frames(render(truth, size)[0])
    name = f"{motion} under {camera}"
    return Case(name, shown, second.prompt, second.prompts, truth, parts=(first, second))


def foreign_case(motion: str, prompts: int, frames: int = 16, size: int = 128, look: int = 0) -> Case:
    """As `rendered_case`, with the reference in a look that no bundled model was trained on (see
    `sprites.world.foreign_worlds`). Its prompt says what somebody without the model's words would.

    Raises MotionError as `rendered_case` does.
    """
    case = rendered_case(motion, prompts, frames, size, look)
    assert case.truth is not None
    own = from_scenes(case.truth)
    generator = torch.Generator().manual_seed(zlib.crc32(f"foreign {motion}/{look}".encode()))
    world = replace(foreign_worlds(1, frames, generator=generator), camera=own.camera, first=own.first)
    if "angle" in (MOTIONS | SEARCH_MOTIONS)[motion](torch.linspace(0, 1, 2)):  # a circle would not show it
        world.first_body.form = own.first_body.form
    shown = as_frames(render_world(world, size, None)[0])
    return replace(case, frames=shown, prompt="a shape on a background", foreign=True)


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
