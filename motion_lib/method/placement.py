"""A motion moved from its own thing to another, elsewhere in the picture.

A value embedding says where things go on a grid over the picture. A video that begins with a picture follows it best
where the grid lies as the picture does: docs/edits.md measures by how much.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import MotionError
from .algebra import place
from .embedding import MotionEmbedding


def placed(embedding: MotionEmbedding, target: Sequence[float], begin: Sequence[float] = ()) -> MotionEmbedding:
    """The motion for a thing whose middle is at `target` in the first frame: x, y in shares of the picture's width and
    height. The motion's own thing is at `begin`; without it, where the file says. The path keeps its size.

    Raises MotionError where neither says it, and as `place` does.
    """
    begin = begin or embedding.origin.starts_at
    if not begin:
        raise MotionError(
            "The motion's file does not say where in its clip the thing is that moves: give the clip too, or move the "
            "motion by hand."
        )
    return place(embedding, target[0] - begin[0], target[1] - begin[1])
