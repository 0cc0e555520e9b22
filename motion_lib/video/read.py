"""Read a clip: any video, animation or folder of images becomes one uint8 tensor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..errors import MotionError
from .limits import KEPT, Limit, is_rate
from .options import ClipOptions, Fit, select
from .sources import FOLDER_RATE, Source, open_source


@dataclass(frozen=True)
class Clip:
    """Frames ready for use, and where they come from."""

    frames: torch.Tensor
    """uint8 `[f, h, w, 3]`, RGB."""
    fps: float
    """Rate at which these frames play at the original speed: every second frame of 24 gives 12."""
    source: str
    """Name of the file or folder."""
    total_frames: int
    """Frames in the source: counted if it was decoded to the end, else as the file declares, else decoded so far."""
    notes: tuple[str, ...] = ()
    """What a user should know: rotation, transparency, variable frame rate, damage, how many frames were kept."""


def read_clip(path: str | Path, options: ClipOptions | None = None, min_frames: int = 1, limit: Limit = KEPT) -> Clip:
    """Read a video (whatever PyAV decodes), a GIF, WebP or PNG animation, or a folder of images in natural order.

    Decoding stops at the last frame that `options` need; only selected frames are kept, each resized as it comes. A
    damaged file gives the frames that can be decoded, and a note. Images of a folder have no time: `force_rate` is
    taken as their rate, 8 if not given.

    Raises:
        MotionError: no such file, nothing that can be decoded, or fewer than `min_frames` frames after selection, or
            more than the limit.
    """
    path, options = Path(path), options or ClipOptions()
    frames: list[torch.Tensor] = []
    size = (0, 0)
    with open_source(path, folder_rate=options.force_rate or FOLDER_RATE) as source:
        for pixels in select(source, options):
            image = pixels()
            # The first frame decides, since a stream may change its size midway.
            size = size if frames else options.target_size(*image.size)
            limit.check(source.name, len(frames) + 1, *size)
            frames.append(torch.from_numpy(np.array(resized(image, size, options.fit))))
    if len(frames) < max(min_frames, 1):
        needed = f"{min_frames} are" if min_frames > 1 else "1 is"
        raise MotionError(
            f"{source.name} has {len(frames)} frames after selection, but {needed} needed; the source has "
            f"{source.total}: use a longer clip, or change force_rate, skip_first_frames, select_every_nth or "
            "frame_load_cap."
        )
    rate = source_rate(source, options)
    if len(frames) < source.total:
        source.note(f"{len(frames)} of {source.total} frames kept")
    return Clip(torch.stack(frames), rate / options.select_every_nth, source.name, source.total, tuple(source.notes))


def source_rate(source: Source, options: ClipOptions) -> float:
    """Frames per second before `select_every_nth`: forced, else declared, else (or if uneven) measured."""
    rate = source.rate or FOLDER_RATE
    steps = np.diff(source.times)
    measured = float(1 / steps.mean()) if steps.size and steps.sum() > 0 else 0.0
    if is_rate(measured):
        # Containers round to milliseconds and GIF to hundredths of a second: only a larger jitter is meant.
        uneven = np.ptp(steps) > 0.5 * np.median(steps)
        if uneven:
            advice = "" if options.force_rate else "; force_rate makes it even"
            low, high = 1000 * steps.min(), 1000 * steps.max()
            source.note(f"variable frame rate: {low:.0f} to {high:.0f} ms between frames{advice}")
        rate = measured if uneven or not source.rate else source.rate
    if options.force_rate > 1.01 * rate:
        source.note(f"frames repeated: {rate:.4g} frames per second were raised to {options.force_rate:g}")
    return options.force_rate or rate


def resized(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    """`image` at `size` = (width, height), by cropping, adding black bars or stretching."""
    # Pillow's filter widens with the reduction, so shrinking does not alias, and it works on 8-bit frames one by one,
    # without the float copy of the clip that torch's interpolate needs.
    if image.size == size:
        return image
    width, height = image.size
    across, down = size[0] / width, size[1] / height
    if fit == "stretch":
        return image.resize(size, Image.Resampling.LANCZOS)
    if fit == "crop":
        scale = max(across, down)
        left, top = (width - size[0] / scale) / 2, (height - size[1] / scale) / 2
        # Clamped, as rounding may put the box a hair outside the image.
        box = (max(left, 0.0), max(top, 0.0), min(width - left, width), min(height - top, height))
        return image.resize(size, Image.Resampling.LANCZOS, box=box)
    scale = min(across, down)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = Image.new("RGB", size)
    canvas.paste(image.resize(inner, Image.Resampling.LANCZOS), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return canvas
