"""Reading a clip in a look that the encoder knows.

What an encoder has never seen it reads wrongly, and its codes show that: they lie far from those of training. Most of
what is strange about a stranger's clip is its background, which is no part of an object's motion; and what a video
model draws of the clip again, it draws in a look that the encoder has learned on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..bundled.models import BUNDLED
from ..camera.measure import follow_camera
from ..errors import MotionError
from ..video.look import LOOKS, LOOKS_WITH_MODEL, REDRAWN, camera_moves, in_look, in_pieces
from .reader import Reader, Reading, evenly, looks_along

AUTO = "auto"
READ_LOOKS = (AUTO, *LOOKS_WITH_MODEL)
AS_IT_IS = "as_it_is"

Redraw = Callable[[Tensor], Tensor]
"""What draws a clip uint8 `[f, h, w, 3]` again, by a video model."""


def read_clip(
    reader: Reader, frames: Tensor, look: str = AUTO, latents: Tensor | None = None, redraw: Redraw | None = None
) -> Reading:
    """What is read of frames uint8 `[f, h, w, 3]` in one of READ_LOOKS. auto: as they are and, if their codes are
    farther from training's than usual, in the first of the other looks in which they are not: before grey, with what
    moves in red besides, redrawn, which comes first where the median frame is no background; as they are if there is
    none. Of the model's drawing, and of a clip that stays strange, the camera is measured where it can be followed.
    latents: of the frames as they are, for an encoder that reads those, in which no look can be changed. redraw:
    for the look redrawn; without one there is no such look.

    Raises MotionError for an unknown look, one that this clip or encoder cannot be read in, and what `Reader.read`
    refuses.
    """
    if look not in READ_LOOKS:
        raise MotionError(f"look is '{look}', but it must be one of {', '.join(READ_LOOKS)}.")
    if reader.needs_latents and look not in (AUTO, AS_IT_IS):
        raise MotionError(f"This encoder reads the latents of {reader.model}: leave look as {AS_IT_IS}.")
    if look not in (AUTO, AS_IT_IS):
        return _with_measured_camera(_read_in(reader, frames, look, redraw), reader, frames)
    plain = reader.read(frames, latents)
    if look == AS_IT_IS or plain.familiar or reader.needs_latents:
        return plain
    for other in _others(frames, redraw is not None):
        try:
            found = _read_in(reader, frames, other, redraw)
        except MotionError:  # nothing can be told from the background
            continue
        if found.familiar:
            return _with_measured_camera(found, reader, frames)
    return _with_measured_camera(plain, reader, frames)


def _with_measured_camera(reading: Reading, reader: Reader, frames: Tensor) -> Reading:
    """Of a clip in a strange look that no still background was told of: codes are most often wrong about its camera.
    The same reading where nothing can be followed."""
    if reading.look in LOOKS and reading.familiar:
        return reading
    try:
        path = follow_camera(evenly(frames, reader.codes.design.frames))
    except MotionError:
        return reading
    return replace(reading, looks=looks_along(path), camera_lost=False, camera_measured=True)


def _others(frames: Tensor, redrawn: bool) -> list[str]:
    """Looks in which to read a clip that is unlike what an encoder knows, the likeliest to serve first."""
    before_grey = [look for look in LOOKS if look != AS_IT_IS]
    if not redrawn:
        return before_grey
    return [REDRAWN, *before_grey] if in_pieces(frames) else [*before_grey, REDRAWN]


def _read_in(reader: Reader, frames: Tensor, look: str, redraw: Redraw | None) -> Reading:
    found = replace(reader.read(in_look(frames, look, redraw=redraw)), look=look)
    lost = look == REDRAWN and not found.camera_moves and camera_moves(frames)
    return replace(found, camera_lost=lost)


def redrawn_by_own_model(reader: Reader) -> Redraw | None:
    """Clips drawn again by the model that this encoder is for, if it comes with the library: in the model's own size,
    and as many frames as are read. The model is loaded when the first clip is."""
    if reader.model not in BUNDLED:
        return None

    def redraw(frames: Tensor) -> Tensor:
        from ..backbones import load_model

        model = load_model(reader.model, next(reader.codes.parameters()).device.type)
        size = (model.defaults.height, model.defaults.width)
        kept = evenly(frames, reader.codes.design.frames)
        if kept.shape[1:3] != size:
            pixels = kept.movedim(-1, 1).float()
            resized = F.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
            kept = resized.round().clamp(0, 255).to(torch.uint8).movedim(1, -1).contiguous()
        return model.redraw(kept)

    return redraw
