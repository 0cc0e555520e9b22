"""The words of the sprite world: what a caption can say, and the colours behind the words.

Objects are vivid (chroma above 0.5) and backgrounds muted (chroma below 0.25), so that which pixel belongs to the
object can be read from any frame without knowing the caption.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "ring", "moon")

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.12, 0.12),
    "orange": (1.00, 0.52, 0.05),
    "yellow": (0.98, 0.90, 0.12),
    "green": (0.12, 0.72, 0.22),
    "blue": (0.15, 0.35, 0.98),
    "purple": (0.56, 0.16, 0.82),
    "pink": (1.00, 0.42, 0.74),
}

# Each tone has two colours; a texture alternates between them and a plain background shows the first.
TONES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "grey": ((0.56, 0.56, 0.56), (0.40, 0.40, 0.40)),
    "white": ((0.96, 0.96, 0.96), (0.78, 0.78, 0.78)),
    "black": ((0.06, 0.06, 0.06), (0.23, 0.23, 0.23)),
    "beige": ((0.84, 0.75, 0.61), (0.68, 0.58, 0.44)),
    "brown": ((0.42, 0.29, 0.20), (0.27, 0.18, 0.11)),
    "navy": ((0.11, 0.15, 0.33), (0.24, 0.29, 0.48)),
}

TEXTURES = ("plain", "striped", "checkered", "dotted", "cloudy")


@dataclass(frozen=True)
class Words:
    """What a caption says of a clip; `None` where it says nothing."""

    shape: str | None = None
    colour: str | None = None
    tone: str | None = None
    texture: str | None = None


TEMPLATES = (
    "a {colour} {shape} on a {tone} {texture} background",
    "a {colour} {shape} moving over a {tone} {texture} background",
    "{colour} {shape}, {tone} {texture} background",
    "a video of a {colour} {shape} in front of a {tone} {texture} background",
)


def caption(words: Words, template: int = 0) -> str:
    """A sentence for fully known words; `template` chooses one of several wordings."""
    sentence = TEMPLATES[template].format(
        colour=words.colour, shape=words.shape, tone=words.tone, texture=words.texture
    )
    return sentence.replace("a orange", "an orange")


def parse_caption(text: str) -> Words:
    """The words of the vocabulary found in any sentence; the first of each kind counts.

    >>> parse_caption("a red star on a grey striped background")
    Words(shape='star', colour='red', tone='grey', texture='striped')
    """
    tokens = re.findall(r"[a-z]+", text.lower())

    def first(kind) -> str | None:
        return next((token for token in tokens if token in kind), None)

    return Words(shape=first(SHAPES), colour=first(COLOURS), tone=first(TONES), texture=first(TEXTURES))


def all_captions() -> list[str]:
    """Every caption the sprite world can have, in every wording."""
    kinds = itertools.product(range(len(TEMPLATES)), SHAPES, COLOURS, TONES, TEXTURES)
    return [caption(Words(shape, colour, tone, texture), template) for template, shape, colour, tone, texture in kinds]
