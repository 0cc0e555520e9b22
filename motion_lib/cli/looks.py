"""The look in which `train` learns a clip, as its options ask for it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MotionError
from .common import clip_options, say, working

if TYPE_CHECKING:
    from torch import Tensor

    from ..backbones import VideoModel
    from ..video import Clip


def learned_from(options: argparse.Namespace, model: VideoModel, clip: Clip, prompt: str) -> list[tuple[Clip, str]]:
    """A clip in the look that --look asks for, with what it then shows; or the clips that stand in for it, with what
    each of them shows. Raises MotionError for a look in which it cannot be."""
    from ..sprites.stand_ins import stand_ins
    from ..video.look import IN_PIECES, REDRAWN, STAND_INS, in_look, in_pieces

    if options.look_mask and options.look in ("as_it_is", REDRAWN):
        raise MotionError(
            "--look-mask says what moves for --look neutral_background, flat_object or stand_ins: choose one."
        )
    if options.look == REDRAWN:
        with working("Drawing the clip again"):
            return [(replace(clip, frames=in_look(clip.frames, REDRAWN, redraw=model.redraw)), prompt)]
    if options.look == "as_it_is":
        return [(clip, prompt)]
    if options.preset != "object":
        raise MotionError(
            f"The look {options.look} takes the background away, and with it how the camera moves, which the preset "
            f"{options.preset} is for: use the preset object, or leave the look as it is."
        )
    mask = None
    if options.look_mask:
        mask = read_mask(options, model, "look_mask", len(clip.frames)).float().mean(dim=-1) / 255
    if options.look == STAND_INS:
        with working("Drawing what stands in for it"):
            drawn = stand_ins(clip.frames, seed=options.seed, mask=mask)
        return [(replace(clip, frames=each.frames), each.prompt) for each in drawn]
    if mask is None and in_pieces(clip.frames):
        say(f"{clip.source}: {IN_PIECES}use --look redrawn, or --look-mask.")
    return [(replace(clip, frames=in_look(clip.frames, options.look, mask)), prompt)]


def preview(out: Path, as_they_are: list[Clip], shown: list[list[tuple[Clip, str]]]) -> None:
    """Raises MotionError for a file that cannot be written."""
    from ..files.atomic import replacing
    from ..video import contact_sheet

    rows, labels = [], []
    for clip, pairs in zip(as_they_are, shown, strict=True):
        rows += [clip.frames, *(each.frames for each, _ in pairs)]
        labels += [f"{clip.source}, as it is", *(f"{clip.source}, as it is learned from" for _ in pairs)]
    with replacing(out) as path:
        contact_sheet(rows, labels).save(path, "PNG")


def read_mask(options: argparse.Namespace, model: VideoModel, option: str, frames: int) -> Tensor:
    """The picture of an option uint8 `[1, h, w, 3]`, or its video with as many frames as the clip."""
    from ..video import read_clip

    mask = read_clip(getattr(options, option), clip_options(options, model))
    if len(mask.frames) not in (1, frames):
        raise MotionError(
            f"--{option.replace('_', '-')} {mask.source} has {len(mask.frames)} frames, but the clip has {frames}: "
            f"give an image, or a video as long as the clip."
        )
    return mask.frames
