"""Frames out of files: what FFmpeg plays, animations Pillow opens, folders of images."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import av
import av.container
import av.error
import numpy as np
from PIL import Image, ImageOps, ImageSequence

from ..errors import MotionError

FOLDER_RATE = 8.0  # frames per second where nothing says how long a frame lasts
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
ANIMATIONS = ("GIF", "WEBP", "PNG")  # left to Pillow: FFmpeg has no decoder for animated WebP
BROWSER_DELAY = 0.1  # seconds that every browser shows a GIF or WebP frame whose delay is 10 ms or less
# What damaged files make PyAV and Pillow's decoders raise: found by damaging files at random.
UNREADABLE = (
    av.error.FFmpegError,
    Image.DecompressionBombError,
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    LookupError,
    struct.error,
)

Pixels = Callable[[], Image.Image]


@dataclass
class Source:
    """One clip while it is decoded: iterate it for (time [s], a call that gives the upright RGB image).

    The call is there so that a frame nobody selects is never converted. The facts grow with the iteration: `times` has
    every frame decoded so far, `notes` what a user should know.
    """

    name: str
    timed: Iterable[tuple[float, Pixels]] = ()
    rate: float = 0.0  # frames per second as declared; 0: not declared
    declared: int = 0  # frames as declared; 0: not declared
    times: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ended: bool = False

    def note(self, fact: str) -> None:
        if fact not in self.notes:
            self.notes.append(fact)

    def __iter__(self) -> Iterator[tuple[float, Pixels]]:
        failure: Exception | None = None
        try:
            for time, pixels in self.timed:
                self.times.append(time)
                yield time, pixels
        except UNREADABLE as error:
            failure = error
        self.ended = True
        count = len(self.times)
        if not count:
            raise MotionError(f"{self.name} has no frame that can be decoded; is the file complete?") from failure
        if failure:
            self.note(f"the file is damaged: decoding stopped after {count} frames")
        elif count < self.declared:
            self.note(f"the file declares {self.declared} frames but holds {count}: it may be cut short")

    @property
    def total(self) -> int:
        """Frames counted when decoded to the end, else as declared, else decoded so far."""
        return len(self.times) if self.ended else max(self.declared, len(self.times))


@contextmanager
def open_source(path: Path, folder_rate: float = FOLDER_RATE) -> Iterator[Source]:
    """The clip at `path`, told by content rather than by extension. Images of a folder are `1 / folder_rate` s apart.

    Raises:
        MotionError: nothing there, not a video, no frames (the last one while iterating).
    """
    if not path.exists():
        raise MotionError(f"There is no file or folder {path}; check the path.")
    if path.is_dir():
        yield folder_source(path, folder_rate)
        return
    image = open_animation(path)
    if image:
        with image:
            yield animation_source(path, image)
    else:
        with open_container(path) as container:
            yield video_source(path, container)


def open_animation(path: Path) -> Image.Image | None:
    try:
        return Image.open(path, formats=ANIMATIONS)
    except Image.UnidentifiedImageError:
        return None
    except UNREADABLE as error:
        raise MotionError(f"{path.name} cannot be read ({error}); is it complete, and may you read it?") from error


def open_container(path: Path) -> av.container.InputContainer:
    try:
        # A playlist named .mp4 must not make FFmpeg reach for the network; and a full path is never taken for a URL.
        whitelist = {"protocol_whitelist": "file"}
        return av.open(str(path.absolute()), options=whitelist, metadata_errors="replace")
    except UNREADABLE as error:
        raise MotionError(f"{path.name} is not a video that can be read; convert it to .mp4 and try again.") from error


def video_source(path: Path, container: av.container.InputContainer) -> Source:
    """A file that FFmpeg plays: the first video stream."""
    if not container.streams.video or container.format.name == "tty":  # which paints any .txt file as a terminal
        raise MotionError(f"{path.name} has no video stream; choose a file with pictures.")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise MotionError(f"{path.name} has a codec that PyAV cannot decode; convert it to .mp4 (H.264) and try again.")
    stream.thread_type = "AUTO"
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    source = Source(path.name, rate=rate, declared=stream.frames)

    def timed() -> Iterator[tuple[float, Pixels]]:
        for index, frame in enumerate(container.decode(stream)):
            # Raw streams (.h264) have no timestamps.
            time = index / (rate or FOLDER_RATE) if frame.time is None else frame.time
            yield time, partial(frame_pixels, frame, source)

    source.timed = timed()
    return source


def frame_pixels(frame: av.VideoFrame, source: Source) -> Image.Image:
    has_alpha = any(component.is_alpha for component in frame.format.components)
    # PyAV before 17 takes every YUV matrix for BT.601 unless the target's is named; RGB has none, so any name will do.
    try:
        rgb = frame.reformat(format="rgba" if has_alpha else "rgb24", dst_colorspace="ITU601")
    except UNREADABLE as error:
        kind = frame.format.name
        raise MotionError(f"{source.name} has {kind} pixels that PyAV cannot convert; save it as yuv420p.") from error
    image = flattened(Image.fromarray(rgb.to_ndarray()), source)
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return image if matrix is None else upright(image, np.frombuffer(matrix, np.int32), source)


def upright(image: Image.Image, matrix: np.ndarray, source: Source) -> Image.Image:
    """Turn and mirror `image` as the container's 3×3 display matrix says, by multiples of 90°."""
    a, b, _, c, d = matrix[:5].tolist()  # x' = a x + c y, y' = b x + d y
    sideways = abs(b) > abs(a)
    if sideways:
        image = image.transpose(Image.Transpose.TRANSPOSE)
    if (c if sideways else a) < 0:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if (b if sideways else d) < 0:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    if sideways or a < 0 or d < 0:
        source.note("turned upright as the file's display matrix says")
    return image


def flattened(image: Image.Image, source: Source) -> Image.Image:
    """RGB of any Pillow image, on black where it is transparent."""
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip to white instead of scaling
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not (image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info):
        return image.convert("RGB")
    image = image.convert("RGBA")
    if np.asarray(image.getchannel("A")).min() < 255:
        source.note("transparency flattened on black")
    return Image.alpha_composite(Image.new("RGBA", image.size, "black"), image).convert("RGB")


def animation_source(path: Path, image: Image.Image) -> Source:
    """A GIF, WebP or PNG, animated or not."""
    # A GIF has no count of its frames: Pillow reads the whole file for it, and stumbles where it is damaged.
    source = Source(path.name, declared=0 if image.format == "GIF" else getattr(image, "n_frames", 1))

    def timed() -> Iterator[tuple[float, Pixels]]:
        time = 0.0
        for frame in ImageSequence.Iterator(image):
            pixels = flattened(frame, source)  # at once: the next seek overwrites the frame
            delay = frame.info.get("duration", 0) / 1000
            yield time, pixels.copy
            time += delay if delay > 0.01 else BROWSER_DELAY
        source.rate = len(source.times) / time  # the mean, now that the last delay is known too

    source.timed = timed()
    return source


def folder_source(folder: Path, rate: float) -> Source:
    """Images of one size in natural order: 2 before 10."""
    paths = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    paths.sort(key=lambda p: [int(part) if part.isdigit() else part.lower() for part in re.split(r"(\d+)", p.name)])
    if not paths:
        raise MotionError(f"The folder {folder} has no images ({', '.join(IMAGE_SUFFIXES)}); choose another.")
    source = Source(folder.name, rate=rate, declared=len(paths))
    source.note(f"a folder of images has no frame rate: {rate:g} frames per second assumed (force_rate sets it)")
    expected: list[tuple[Path, tuple[int, int]]] = []

    def pixels(path: Path) -> Image.Image:
        try:
            with Image.open(path) as opened:
                image = flattened(ImageOps.exif_transpose(opened), source)
        except UNREADABLE as error:
            raise MotionError(f"The image {path} cannot be read; replace it or take it out of the folder.") from error
        expected.append((path, image.size))
        first, size = expected[0]
        if image.size != size:
            sizes = f"{path.name} is {image.size[0]}x{image.size[1]} but {first.name} is {size[0]}x{size[1]}"
            raise MotionError(f"The images of {folder} differ in size ({sizes}); make them all the same size.")
        return image

    source.timed = ((index / rate, partial(pixels, path)) for index, path in enumerate(paths))
    return source
