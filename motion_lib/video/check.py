"""Is a clip fit to learn motion from? Cuts, stillness and repeated frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from PIL import Image

BLOCK = 8  # pixels; noise averages out over a block, the motion of a small thing does not
REPEATED_MEAN, REPEATED_BLOCK = 0.25 / 255, 3 / 255  # what is left between two copies of a frame after H.264
STILL = 4 / 255  # flicker that codecs and sensors leave in the mean of a block

THUMB = 36  # pixels of the short side on which cuts are looked for
PATCH, REACH = 4, 6  # pixels of a thumbnail: the size of a block, and how far it may have moved (a sixth of the side)
NEIGHBOURS = 4  # transitions on each side that say what is usual here
CUT, CUT_RATIO, CALM = 0.04, 1.7, 0.01  # see `find_cuts`


@dataclass(frozen=True)
class ClipReport:
    """What `check_clip` found. Frame numbers count from 0."""

    cuts: tuple[int, ...]
    """First frame after each hard cut."""
    static: bool
    """Nothing moves above noise."""
    duplicates: tuple[int, ...]
    """Frames that repeat the one before, as conversions of the frame rate make them."""
    motion: float
    """Mean absolute difference of consecutive frames, 0..1."""

    def warnings(self) -> tuple[str, ...]:
        """One sentence per problem, in plain words; none for a good clip."""
        found: list[str] = []
        if self.cuts:
            place = f"a cut at frame {self.cuts[0]}" if len(self.cuts) == 1 else f"cuts at frames {listed(self.cuts)}"
            found.append(
                f"The clip has {place} (counting from 0): motion would be learned across it; use "
                "skip_first_frames and frame_load_cap to stay on one side."
            )
        if self.static:
            found.append("Nothing moves in the clip: there is no motion to learn; choose one that moves.")
        elif self.duplicates:
            verb = "Frame {} repeats" if len(self.duplicates) == 1 else "Frames {} repeat"
            found.append(
                f"{verb.format(listed(self.duplicates))} the frame before (counting from 0): the motion stops there; "
                "a lower force_rate or select_every_nth can leave such frames out."
            )
        return tuple(found)


def listed(numbers: Sequence[int], most: int = 8) -> str:
    """`3, 5 and 8`; a long list ends in `and 12 more`."""
    shown = [str(number) for number in numbers]
    if len(shown) > most:
        shown[most:] = [f"{len(shown) - most} more"]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def check_clip(frames: torch.Tensor) -> ClipReport:
    """Look for what spoils the learning of motion in uint8 `[f, h, w, 3]` frames."""
    # NumPy, because cuts take thousands of tiny steps, for which the start of torch's threads costs more than the work.
    clip = frames.cpu().numpy()
    first = previous = clip[0].astype(np.float32) / 255
    block = min(BLOCK, *clip.shape[1:3])
    duplicates: list[int] = []
    total, drift = 0.0, 0.0
    for index in range(1, len(clip)):
        frame = clip[index].astype(np.float32) / 255
        change = np.abs(frame - previous)
        mean = float(change.mean())
        if mean < REPEATED_MEAN and block_means(change.mean(-1), block).max() < REPEATED_BLOCK:
            duplicates.append(index)
        # Against the first frame: a drift too slow to be seen from one frame to the next adds up.
        drift = max(drift, *(float(np.abs(block_means(channel, block)).max()) for channel in (frame - first).T))
        total += mean
        previous = frame
    distinct = sorted(set(range(len(clip))) - set(duplicates))
    return ClipReport(
        cuts=tuple(distinct[cut] for cut in find_cuts(thumbnails(clip[distinct]))),
        static=drift < STILL,
        duplicates=tuple(duplicates),
        motion=total / max(len(clip) - 1, 1),
    )


def find_cuts(thumbs: np.ndarray) -> list[int]:
    """First frames after hard cuts in `[f, 3, h, w]` thumbnails, values in 0..1.

    What a frame shows that its predecessor cannot explain by moving (`unexplained`) is small in a pan or behind a fast
    object, and large behind a cut: more than `CUT`, and more than `CUT_RATIO` times what is usual in the neighbourhood.
    Two things look like a cut until one compares further: a flash or glitch of one frame (its two sides match), and
    something large that comes in fast (going back in time, it merely leaves).
    """
    if len(thumbs) < 2:
        return []
    novelty = unexplained(thumbs[:-1], thumbs[1:])
    cuts = []
    for i in np.flatnonzero(novelty > CUT).tolist():
        around = np.sort(np.concatenate((novelty[max(0, i - NEIGHBOURS) : i], novelty[i + 1 : i + 1 + NEIGHBOURS])))
        usual = around[len(around) // 2] if len(around) else 0.0
        spans = [(a, b) for a, b in ((i, i + 1), (i - 1, i + 1), (i, i + 2)) if a >= 0 and b < len(thumbs)]
        before, after = (thumbs[list(ends)] for ends in zip(*spans, strict=True))
        least = min(unexplained(before, after).min(), unexplained(after, before).min())
        if least > CUT and least > CUT_RATIO * (usual + CALM):
            cuts.append(i + 1)
    return cuts


def unexplained(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Mean absolute difference `[n]` left between `[n, 3, h, w]` frames after the best shift of each block."""
    height, width = after.shape[-2:]
    padded = np.pad(before, ((0, 0), (0, 0), (REACH, REACH), (REACH, REACH)), mode="edge")
    best = np.float32(np.inf)
    for y, x in product(range(2 * REACH + 1), repeat=2):
        difference = np.abs(after - padded[:, :, y : y + height, x : x + width]).mean(1)
        best = np.minimum(best, block_means(difference, PATCH))
    return np.mean(best, axis=(1, 2))


def thumbnails(clip: np.ndarray) -> np.ndarray:
    """`[f, 3, h, w]` in 0..1 of uint8 `[f, h, w, 3]`: short side about `THUMB` pixels, both multiples of `PATCH`."""
    scale = THUMB / min(clip.shape[1:3])
    height, width = (max(1, round(side * scale / PATCH)) * PATCH for side in clip.shape[1:3])
    small = [Image.fromarray(frame).resize((width, height), Image.Resampling.BOX) for frame in clip]
    return np.stack([np.asarray(image, np.float32).transpose(2, 0, 1) for image in small]) / 255


def block_means(image: np.ndarray, block: int) -> np.ndarray:
    """`[..., h // block, w // block]`: means over blocks; what is left over at the edges is dropped."""
    height, width = (side // block for side in image.shape[-2:])
    cut = image[..., : height * block, : width * block]
    return cut.reshape(*image.shape[:-2], height, block, width, block).mean(-3).mean(-1)  # quicker than both at once
