"""A clip in a look that every model knows: what moves before plain grey, so that the background's textures and colours,
which are no part of a motion, are not there to be learned.

Where the camera stands still, the median over the frames is the background, and what differs from it moves. Where it
does not, somebody has to say what moves, with a mask; or a model draws the clip again, in a look of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MotionError
from .frames import check_clip_tensor

LOOKS = {
    "as_it_is": "takes the clip as it is",
    "neutral_background": "puts what moves before plain grey",
    "flat_object": "paints it red besides",
}
REDRAWN = "redrawn"
LOOKS_WITH_MODEL = {**LOOKS, REDRAWN: "lets the model draw it again from a tenth of noise, under any camera"}
STAND_INS = "stand_ins"
LOOKS_TO_LEARN_FROM = {
    **LOOKS_WITH_MODEL,
    STAND_INS: "lets simple shapes in eight looks take its place, so that all that is learned is its path and how it "
    "grows and turns",
}
FOR_WHICH = (
    "For clips with patterns or strong colours, which a model may take over. Before plain grey, and where shapes take "
    "its place, the camera must stand still, or a mask must say what moves."
)


def look_help(looks: Mapping[str, str] = LOOKS) -> str:
    said = ", ".join(f"{name} {what}" for name, what in looks.items())
    return f"The look in which the clip is learned from: {said}. {FOR_WHICH}"


GREY, RED = 128.0, (200.0, 40.0, 40.0)
STILL, MOVING = 12.0, 32.0  # of 255: differences from the background that count as noise, and in full
HOLES = 0.04  # of the shorter side: gaps of what moves, where it has the background's colour, are closed
IN_PIECES = (
    "What differs from the still background lies in pieces, as if something rested for half of the clip or two things "
    "moved: look at what is learned from, and if it is not what moves, "
)
COARSE, PIECE, OFTEN = 64, 0.25, 0.2  # points a side, share of the largest piece, and of the frames
MOST, LEAST = 0.45, 0.0005  # of the picture: a camera moves where more changes, and nothing does where less


def in_look(
    frames: Tensor, look: str, mask: Tensor | None = None, redraw: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """A clip uint8 `[f, h, w, 3]` in one of LOOKS, or of LOOKS_WITH_MODEL where there is a model.

    mask: where the thing is that moves, `[f or 1, h, w]` in 0..1; if None, it is found by `moving_mask`. redraw: the
    model's own drawing of a clip again (see `VideoModel.redraw`). Raises MotionError for an unknown look, a mask of
    another shape, and what `moving_mask` refuses.
    """
    known = LOOKS if redraw is None else LOOKS_WITH_MODEL
    if look not in known:
        raise MotionError(f"look is '{look}', but it must be one of {', '.join(known)}.")
    if look == "as_it_is":
        return frames
    if redraw is not None and look == REDRAWN:
        return redraw(frames)
    share = what_moves(frames, mask)[..., None]
    things = torch.tensor(RED) if look == "flat_object" else frames.float()
    return (share * things + (1 - share) * GREY).round().to(torch.uint8)


def what_moves(frames: Tensor, mask: Tensor | None = None) -> Tensor:
    """Where the thing is that moves in a clip uint8 `[f, h, w, 3]`, `[f or 1, h, w]` in 0..1: as a mask of that shape
    says, or if it is None, `moving_mask`. Raises MotionError for a mask of another shape, and as `moving_mask` does."""
    check_clip_tensor(frames)
    if mask is None:
        return moving_mask(frames)
    if mask.shape[1:] != frames.shape[1:3] or len(mask) not in (1, len(frames)):
        raise MotionError(
            f"The mask of what moves has the shape {list(mask.shape)}, but the clip has {list(frames.shape[:3])}: give "
            f"one picture, or one for every frame, of the clip's size."
        )
    return mask.to(torch.float32).clamp(0, 1)


def moving_mask(frames: Tensor) -> Tensor:
    """Where a clip uint8 `[f, h, w, 3]` differs from its median frame, `[f, h, w]` in 0..1.

    Raises MotionError when most of the picture does, as under a moving camera, or nothing.
    """
    share = _changing(frames)
    mean = float(share.mean())
    if mean > MOST:
        raise MotionError(
            f"{mean:.0%} of the clip's picture changes, as if the camera moved, so that what moves cannot be told from "
            f"the background: give a mask of what moves, or leave the look as it is."
        )
    if mean < LEAST:
        raise MotionError("Nothing in the clip moves before its background: give a mask, or leave the look as it is.")
    return share


def camera_moves(frames: Tensor) -> bool:
    """Does so much of a clip uint8 `[f, h, w, 3]` change, as under a moving camera?"""
    return float(_changing(frames).mean()) > MOST


def in_pieces(frames: Tensor) -> bool:
    """Does what differs from the median frame lie in two pieces or more, in many frames of a clip uint8 `[f, h, w, 3]`?
    Then something rests for half of the clip, or never leaves its place, and the median shows it. A clip in which two
    things move is taken for one as well."""
    share = F.adaptive_avg_pool2d(_changing(frames)[:, None], (COARSE, COARSE))
    covered = (share > 0.5).float()
    number = torch.arange(1, COARSE**2 + 1, device=frames.device).view(1, 1, COARSE, COARSE) * covered
    while not torch.equal(wider := _wider(number, 1) * covered, number):  # every piece takes its largest number
        number = wider
    apart = 0
    for frame in number.flatten(1):
        areas = frame[frame > 0].unique(return_counts=True)[1].sort(descending=True).values
        apart += int(len(areas) > 1 and areas[1] > PIECE * areas[0])
    return apart >= OFTEN * len(frames)


def _changing(frames: Tensor) -> Tensor:
    pictures = frames.movedim(-1, 1).float()
    away = (pictures - pictures.median(dim=0, keepdim=True).values).abs().amax(dim=1, keepdim=True)
    # Both: alone, grain would count as moving, or a border of one pixel would.
    away = torch.minimum(away, F.avg_pool2d(away, 3, stride=1, padding=1, count_include_pad=False))
    share = ((away - STILL) / (MOVING - STILL)).clamp(0, 1)
    gap = max(1, round(HOLES * min(frames.shape[1:3]) / 2))
    specks_gone = _wider(_narrower(share, 1), 1)
    return _narrower(_wider(specks_gone, gap), gap)[:, 0]


def _wider(share: Tensor, by: int) -> Tensor:
    return F.max_pool2d(share, 2 * by + 1, stride=1, padding=by)


def _narrower(share: Tensor, by: int) -> Tensor:
    return -_wider(-share, by)
