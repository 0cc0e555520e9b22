"""Reading a clip in a look that the encoder knows.

What an encoder has never seen it reads wrongly, and its codes show that: they lie far from those of training. Most of
what is strange about a stranger's clip is its background, which is no part of an object's motion.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ..errors import MotionError
from ..video.look import LOOKS, in_look
from .reader import Reader, Reading

AUTO = "auto"
READ_LOOKS = (AUTO, *LOOKS)
AS_IT_IS, *OTHERS = LOOKS


def read_clip(reader: Reader, frames: Tensor, look: str = AUTO, latents: Tensor | None = None) -> Reading:
    """What is read of frames uint8 `[f, h, w, 3]` in one of READ_LOOKS. auto: as they are and, if their codes are
    farther from training's than usual, in the first of the other looks in which they are not; as they are if there is
    none, as under a moving camera. latents: of the frames as they are, for an encoder that reads those, in which no
    look can be changed.

    Raises MotionError for an unknown look, one that this clip or encoder cannot be read in, and what `Reader.read`
    refuses.
    """
    if look not in READ_LOOKS:
        raise MotionError(f"look is '{look}', but it must be one of {', '.join(READ_LOOKS)}.")
    if reader.needs_latents and look not in (AUTO, AS_IT_IS):
        raise MotionError(f"This encoder reads the latents of {reader.model}: leave look as {AS_IT_IS}.")
    if look not in (AUTO, AS_IT_IS):
        return replace(reader.read(in_look(frames, look)), look=look)
    plain = reader.read(frames, latents)
    if look == AS_IT_IS or plain.warning is None or reader.needs_latents:
        return plain
    for other in OTHERS:
        try:
            found = reader.read(in_look(frames, other))
        except MotionError:  # nothing can be told from the background
            break
        if found.warning is None:
            return replace(found, look=other)
    return plain
