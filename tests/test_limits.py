"""When a video is far from what a motion was learned on."""

from __future__ import annotations

import pytest

from motion_lib.method.embedding import MotionEmbedding
from motion_lib.method.stretch import far_from_learned
from tests.tiny import tiny_backbone

EMBEDDING = MotionEmbedding.zeros(tiny_backbone(), "all", 16, (40, 64))


@pytest.mark.parametrize(
    ("frames", "size", "words"),
    [
        (16, (40, 64), None),
        (8, (20, 32), None),
        (32, (80, 128), None),
        (7, (40, 64), "7 frames instead of 16"),
        (33, (40, 64), "33 frames instead of 16"),
        (16, (84, 64), "a picture of 1 times the width and 2.1 times the height"),
        (40, (40, 28), "40 frames instead of 16 and a picture of 0.44 times the width"),
    ],
)
def test_twice_and_half_are_near_and_more_is_far(frames: int, size: tuple[int, int], words: str | None) -> None:
    sentence = far_from_learned(EMBEDDING, frames, size)
    assert sentence is None if words is None else sentence is not None and words in sentence
