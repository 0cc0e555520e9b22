"""Captions of worlds: what the vocabulary has words for is named, the rest left out."""

from __future__ import annotations

import torch

from ..vocabulary import TEMPLATES, Words, all_captions, caption
from .bodies import BODIES, NOTHING
from .scene import World

LOOSE = (
    "{object} on {ground}",
    "{object} moving over {ground}",
    "{object}, {ground}",
    "a video of {object} in front of {ground}",
)


def world_captions(world: World, generator: torch.Generator, forget: float = 0.1) -> list[str]:
    """One caption each, in a wording drawn at random; a share `forget` of what could be said is left out besides."""
    wording = torch.randint(len(LOOSE), (len(world),), generator=generator).tolist()
    silent = torch.rand(len(world), 4, generator=generator) < forget
    silent &= torch.rand(len(world), 1, generator=generator) < 0.5
    return [_caption(world, i, wording[i], silent[i].tolist()) for i in range(len(world))]


def plain_captions(world: World, generator: torch.Generator) -> list[str]:
    """One caption each that says only how many things move: "a shape on a background"."""
    wording = torch.randint(len(LOOSE), (len(world),), generator=generator).tolist()
    return [_caption(world, i, wording[i], [True] * 4) for i in range(len(world))]


def _caption(world: World, i: int, wording: int, silent: list[bool]) -> str:
    known = world.words(i)
    kept = [None if quiet else word for word, quiet in zip(_four(known), silent, strict=True)]
    words = Words(*kept)
    alone = int(world.second_body.form[i]) == NOTHING
    if alone and None not in kept:
        return caption(words, wording)
    form = BODIES[int(world.first_body.form[i])]
    thing = loose_object(words, "figure" if form == "figure" else "shape")
    if not alone:
        thing += " and another shape"
    return LOOSE[wording].format(object=thing, ground=loose_ground(words))


def _four(words: Words) -> tuple[str | None, ...]:
    return words.shape, words.colour, words.tone, words.texture


def loose_object(words: Words, kind: str = "shape") -> str:
    """What can be said of an object: "a red star", "a star", "a red shape", "a shape"."""
    return _with_article([words.colour, words.shape or kind])


def loose_ground(words: Words) -> str:
    """What can be said of a background: "a grey striped background", "a striped background", "a background"."""
    return _with_article([words.tone, words.texture, "background"])


def _with_article(words: list[str | None]) -> str:
    text = " ".join(word for word in words if word)
    return f"an {text}" if text.startswith(("a", "e", "i", "o", "u")) else f"a {text}"


def known_sentences() -> list[str]:
    """Sentences with every word and wording a caption can have, for learning a tokenizer's merges."""
    extra = [
        LOOSE[i].format(object=f"a {kind}{other}", ground="a background")
        for i in range(len(LOOSE))
        for kind in ("shape", "figure")
        for other in ("", " and another shape")
    ]
    return all_captions() + extra * 20


assert len(LOOSE) == len(TEMPLATES)
