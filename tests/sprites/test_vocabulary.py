"""Captions say what is in a clip, and can be read back."""

from __future__ import annotations

import itertools

import pytest

from motion_lib.sprites import COLOURS, SHAPES, TEXTURES, TONES, Words, caption, parse_caption
from motion_lib.sprites.vocabulary import TEMPLATES


def test_the_world_is_as_large_as_promised() -> None:
    assert len(SHAPES) >= 6 and len(COLOURS) >= 6 and len(TONES) * len(TEXTURES) >= 6
    words = [*SHAPES, *COLOURS, *TONES, *TEXTURES]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("template", range(len(TEMPLATES)))
def test_every_caption_reads_back(template: int) -> None:
    for shape, colour, tone, texture in itertools.product(SHAPES, COLOURS, TONES, TEXTURES):
        words = Words(shape, colour, tone, texture)
        assert parse_caption(caption(words, template)) == words


def test_english() -> None:
    assert caption(Words("star", "orange", "grey", "striped")) == "an orange star on a grey striped background"
    assert caption(Words("moon", "red", "navy", "plain"), 2) == "red moon, navy plain background"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", Words()),
        ("A RED Star!", Words("star", "red")),
        ("a starry night, redder than blue", Words(None, "blue")),
        ("a ring and a square on white", Words("ring", None, "white")),
    ],
)
def test_any_sentence(text: str, words: Words) -> None:
    assert parse_caption(text) == words


def test_objects_are_vivid_and_backgrounds_muted() -> None:
    """Which the checker relies on."""
    for colour in COLOURS.values():
        assert max(colour) - min(colour) > 0.5
    for tone in TONES.values():
        for colour in tone:
            assert max(colour) - min(colour) <= 0.25
