"""Several clips in one picture: a sheet of frames to look at, a moving comparison to share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..errors import MotionError

BACKGROUND, INK = (30, 30, 32), (225, 225, 225)
GAP = 6  # pixels around every tile
CAPTION = 20  # pixels of height for a line of text


def contact_sheet(
    rows: Sequence[torch.Tensor], labels: Sequence[str] = (), columns: int = 8, scale: float = 1.0
) -> Image.Image:
    """One row per clip: up to `columns` frames, evenly spread from the first to the last, under the clip's label.

    Args:
        rows: clips, uint8 `[f, h, w, 3]`; they may differ in size and length.
        labels: one per clip, or none at all.
        columns: most frames of a row.
        scale: factor on the size of the frames.

    Raises:
        MotionError: no clips, an empty one, or another number of labels than clips.
    """
    check(rows, labels, columns)
    strips = []
    for clip in rows:
        chosen = np.linspace(0, len(clip) - 1, min(columns, len(clip))).round().astype(int)
        images = [Image.fromarray(clip[index].cpu().numpy()) for index in chosen]
        size = [max(1, round(side * scale)) for side in images[0].size]
        strips.append([image.resize((size[0], size[1]), Image.Resampling.LANCZOS) for image in images])
    caption = CAPTION if labels else 0
    width = max(sum(image.width + GAP for image in strip) for strip in strips) + GAP
    height = sum(caption + strip[0].height + GAP for strip in strips) + GAP
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    top = GAP
    for index, strip in enumerate(strips):
        if labels:
            write(sheet, labels[index], (GAP, top), width - 2 * GAP)
        for column, image in enumerate(strip):
            sheet.paste(image, (GAP + column * (image.width + GAP), top + caption))
        top += caption + strip[0].height + GAP
    return sheet


def side_by_side(clips: Sequence[torch.Tensor], labels: Sequence[str] = (), columns: int = 4) -> torch.Tensor:
    """The clips playing together in a grid, `[f, H, W, 3]` uint8, each under its label.

    Cells are as large as the largest clip, smaller ones stand in the middle; a clip that ends early holds its last
    frame. Arguments and errors as in `contact_sheet`.
    """
    check(clips, labels, columns)
    columns = min(columns, len(clips))
    caption = CAPTION if labels else 0
    length = max(len(clip) for clip in clips)
    cell_h, cell_w = (max(clip.shape[axis] for clip in clips) for axis in (1, 2))
    lines = -(-len(clips) // columns)
    size = (GAP + columns * (cell_w + GAP), GAP + lines * (caption + cell_h + GAP))
    canvas = Image.new("RGB", size, BACKGROUND)
    corners = [
        (GAP + index % columns * (cell_w + GAP), GAP + index // columns * (caption + cell_h + GAP))
        for index in range(len(clips))
    ]
    for label, corner in zip(labels, corners, strict=False):
        write(canvas, label, corner, cell_w)
    grid = torch.from_numpy(np.array(canvas)).repeat(length, 1, 1, 1)
    for clip, (left, top) in zip(clips, corners, strict=True):
        height, width = clip.shape[1:3]
        y, x = top + caption + (cell_h - height) // 2, left + (cell_w - width) // 2
        grid[:, y : y + height, x : x + width] = clip.cpu()[torch.arange(length).clamp(max=len(clip) - 1)]
    return grid


def check(clips: Sequence[torch.Tensor], labels: Sequence[str], columns: int) -> None:
    for index, clip in enumerate(clips):
        if clip.ndim != 4 or clip.shape[-1] != 3 or clip.dtype != torch.uint8 or 0 in clip.shape:
            found = f"{list(clip.shape)} {clip.dtype}"
            raise MotionError(f"Clip {index} is {found}, but uint8 frames of the shape [f, h, w, 3] are needed.")
    if not clips or columns < 1:
        raise MotionError(f"{len(clips)} clips in {columns} columns cannot make a picture; give at least one of each.")
    if len(labels) not in (0, len(clips)):
        raise MotionError(f"There are {len(labels)} labels for {len(clips)} clips; give one per clip, or none.")


def write(image: Image.Image, text: str, corner: tuple[int, int], width: int) -> None:
    """Put `text` at `corner` (left, top), shortened with … to fit into `width` pixels."""
    font = caption_font()
    outline = isinstance(font, ImageFont.FreeTypeFont)
    if not outline:  # the bitmap font of a Pillow without FreeType knows Latin-1 only
        text = text.encode("latin-1", "replace").decode("latin-1")
    shown, dots = text, "…" if outline else "..."
    while text and font.getlength(shown) > width:
        text = text[:-1]
        shown = text.rstrip() + dots
    ImageDraw.Draw(image).text((corner[0], corner[1] + 1), shown, fill=INK, font=font)


def caption_font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.load_default(size=14)
    except TypeError:  # Pillow before 10.1 has one size
        return ImageFont.load_default()
