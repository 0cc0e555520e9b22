"""Motion words: which of them are true of the benchmark's motions, and which a sentence says."""

from __future__ import annotations

import pytest
import torch

from motion_lib.codes.words import FORMS, WORDS, said_in, sentence, words_of_cameras, words_of_objects
from motion_lib.sprites import Words
from motion_lib.sprites.motions import reference


def objects(motion: str) -> set[str]:
    scenes = reference(motion, Words())
    return set(sentence(words_of_objects(scenes.position, scenes.radius, scenes.angle)[0], "object").split())


def cameras(motion: str) -> set[str]:
    scenes = reference(motion, Words())
    return set(sentence(words_of_cameras(scenes.camera, scenes.zoom, scenes.roll)[0], "camera").split())


@pytest.mark.parametrize(
    ("motion", "has", "lacks"),
    [
        ("orbit", {"circles", "clockwise", "returns"}, {"hops", "zigzags", "still"}),
        ("zigzag", {"zigzags", "right"}, {"circles", "left", "still"}),
        ("bounce", {"hops", "right"}, {"circles", "left"}),
        ("stop_and_go", {"stops", "right", "up"}, {"circles", "hops"}),
        ("figure_eight", {"returns", "moves"}, {"circles", "still", "stops"}),
        ("grow", {"still", "grows"}, {"moves", "shrinks"}),
        ("spin", {"still", "turns"}, {"moves", "circles"}),
        ("hook", {"up"}, {"down", "still"}),
    ],
)
def test_the_words_of_an_object(motion: str, has: set[str], lacks: set[str]) -> None:
    found = objects(motion)
    assert has <= found and not lacks & found


@pytest.mark.parametrize(
    ("motion", "has", "lacks"),
    [
        ("pan", {"pans", "right"}, {"left", "tilts", "zooms", "still"}),
        ("tilt", {"tilts", "up"}, {"down", "pans"}),
        ("zoom", {"zooms", "in"}, {"out", "pans"}),
        ("zoom_out", {"zooms", "out"}, {"in"}),
        ("shake", {"shakes"}, {"still"}),
        ("roll_over", {"rolls", "clockwise"}, {"zooms"}),
        ("orbit", {"still"}, {"moves"}),
    ],
)
def test_the_words_of_a_camera(motion: str, has: set[str], lacks: set[str]) -> None:
    found = cameras(motion)
    assert has <= found and not lacks & found


@pytest.mark.parametrize(
    ("text", "object_words", "camera_words"),
    [
        ("hops to the right", "right hops", ""),
        ("the camera pans left", "", "pans left"),
        ("circles clockwise while the camera zooms out", "circles clockwise", "zooms out"),
        ("Jumping, growing. Camera shaking!", "hops grows", "shakes"),
        ("a red star", "", ""),
    ],
)
def test_the_words_of_a_sentence(text: str, object_words: str, camera_words: str) -> None:
    chosen = said_in(text)
    assert sentence(chosen["object"], "object") == object_words
    assert sentence(chosen["camera"], "camera") == camera_words


def test_every_other_form_is_of_a_word_there_is() -> None:
    known = {word for words in WORDS.values() for word in words}
    assert set(FORMS.values()) <= known and not set(FORMS) & known


def test_a_batch_is_each_of_it() -> None:
    scenes = [reference(motion, Words()) for motion in ("orbit", "zigzag")]
    position, radius, angle = (torch.cat([getattr(s, n) for s in scenes]) for n in ("position", "radius", "angle"))
    both = words_of_objects(position, radius, angle)
    for i in range(2):
        one = slice(i, i + 1)
        assert torch.equal(both[one], words_of_objects(position[one], radius[one], angle[one]))
