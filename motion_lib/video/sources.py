"""Frames out of files: what FFmpeg plays, animations Pillow opens, folders of images."""

from __future__ import annotations

import math
import re
import stat
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

from ..errors import MotionError, shown
from ..files.reading import regular_file
from .limits import FASTEST, LARGEST_FRAME, check_frame, is_rate

FOLDER_RATE = 8.0  # frames per second where nothing says how long a frame lasts
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
ANIMATIONS = ("GIF", "WEBP", "PNG")  # left to Pillow: FFmpeg has no decoder for animated WebP
PICTURES = (*ANIMATIONS, "JPEG", "BMP")  # by name, because Pillow hands others, such as EPS, to programs it finds
# FFmpeg's readers of files that hold their pictures themselves. Playlists, scripts, patterns of names and descriptions
# of streams name other files, or addresses, and FFmpeg would open those.
CONTAINERS = (
    *("mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "m4v", "h264", "hevc", "vvc", "av1", "obu", "ivf"),
    *("flv", "asf", "ogg", "mxf", "nut", "dv", "rm", "apng", "gif", "mjpeg", "yuv4mpegpipe", "jpeg_pipe", "bmp_pipe"),
)
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
    if is_folder(path):
        yield folder_source(path, folder_rate)
        return
    regular_file(path)
    image = open_animation(path)
    if image:
        with image:
            yield animation_source(path, image)
    else:
        with open_container(path) as container:
            yield video_source(path, container)


def is_folder(path: Path) -> bool:
    """Raises MotionError when there is nothing at `path`, or when its name cannot be one."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MotionError(f"There is no file or folder {shown(str(path))}; check the path.") from error
    except (OSError, ValueError) as error:  # a name too long, a loop of links, a NUL byte
        reason = getattr(error, "strerror", None) or error
        raise MotionError(f"{shown(str(path))} cannot be opened ({reason}); check the path.") from error


def open_animation(path: Path) -> Image.Image | None:
    try:
        return Image.open(path, formats=ANIMATIONS)
    except Image.UnidentifiedImageError:
        return None
    except UNREADABLE as error:
        reason = shown(str(error))
        raise MotionError(
            f"{shown(path.name)} cannot be read ({reason}); is it complete, and may you read it?"
        ) from error


def open_container(path: Path) -> av.container.InputContainer:
    try:
        # What a file is, FFmpeg tells by its content, whatever its name; and a full path is never taken for a URL.
        limits = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
        limits["max_pixels"] = str(LARGEST_FRAME)  # also where a frame is larger than the header says
        return av.open(str(path.absolute()), options=limits, metadata_errors="replace")
    except UNREADABLE as error:
        raise MotionError(
            f"{shown(path.name)} is not a video that can be read; convert it to .mp4 and try again."
        ) from error


def video_source(path: Path, container: av.container.InputContainer) -> Source:
    """A file that FFmpeg plays: the first video stream."""
    name = shown(path.name)
    if not container.streams.video:
        raise MotionError(f"{name} has no video stream; choose a file with pictures.")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise MotionError(f"{name} has a codec that PyAV cannot decode; convert it to .mp4 (H.264) and try again.")
    check_frame(name, stream.codec_context.width, stream.codec_context.height)
    stream.codec_context.options = {"max_pixels": str(LARGEST_FRAME)}
    stream.thread_type = "AUTO"
    declared = float(stream.average_rate or stream.guessed_rate or 0)
    rate = declared if is_rate(declared) else 0.0
    source = Source(name, rate=rate, declared=max(stream.frames, 0))

    def timed() -> Iterator[tuple[float, Pixels]]:
        last = -math.inf
        for index, frame in enumerate(container.decode(stream)):
            # Raw streams (.h264) have no timestamps, and broken ones go back.
            last = max(last, index / (rate or FOLDER_RATE) if frame.time is None else frame.time)
            yield last, partial(frame_pixels, frame, source)

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
    name = shown(path.name)
    check_frame(name, *image.size)
    # A GIF has no count of its frames: Pillow reads the whole file for it, and stumbles where it is damaged.
    source = Source(name, declared=0 if image.format == "GIF" else getattr(image, "n_frames", 1))

    def timed() -> Iterator[tuple[float, Pixels]]:
        time = 0.0
        for frame in ImageSequence.Iterator(image):
            check_frame(name, *frame.size)  # a later frame of a GIF may be larger
            pixels = flattened(frame, source)  # at once: the next seek overwrites the frame
            delay = frame.info.get("duration", 0) / 1000
            yield time, pixels.copy
            time += delay if 0.01 < delay < math.inf else BROWSER_DELAY
        source.rate = min(len(source.times) / time, FASTEST)  # the mean, now that the last delay is known too

    source.timed = timed()
    return source


def open_picture(path: Path) -> Image.Image:
    """One picture of a kind in PICTURES, decoded and upright.

    Raises MotionError for anything else, and for one too large.
    """
    regular_file(path)
    try:
        with Image.open(path, formats=PICTURES) as opened:
            check_frame(shown(path.name), *opened.size)
            opened.load()
            return ImageOps.exif_transpose(opened)
    except UNREADABLE as error:
        kinds = ", ".join(PICTURES)
        raise MotionError(f"The image {shown(str(path))} cannot be read: give one of {kinds} that is whole.") from error


def is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def natural(path: Path) -> list[int | str]:
    """What to sort names by so that 2 comes before 10: every second part is a number."""
    parts = re.split("([0-9]+)", path.name.lower())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def folder_source(folder: Path, rate: float) -> Source:
    """Images of one size in natural order: 2 before 10."""
    try:
        paths = sorted((path for path in folder.iterdir() if is_image(path)), key=natural)
    except OSError as error:
        raise MotionError(f"The folder {shown(str(folder))} cannot be read ({error.strerror}).") from error
    if not paths:
        suffixes = ", ".join(IMAGE_SUFFIXES)
        raise MotionError(f"The folder {shown(str(folder))} has no images ({suffixes}); choose another.")
    source = Source(shown(folder.name), rate=rate, declared=len(paths))
    source.note(f"a folder of images has no frame rate: {rate:g} frames per second assumed (force_rate sets it)")
    expected: list[tuple[Path, tuple[int, int]]] = []

    def pixels(path: Path) -> Image.Image:
        image = flattened(open_picture(path), source)
        expected.append((path, image.size))
        first, size = expected[0]
        if image.size != size:
            sizes = f"{shown(path.name)} is {image.size[0]}x{image.size[1]} but {shown(first.name)} is "
            sizes += f"{size[0]}x{size[1]}"
            raise MotionError(f"The images of {source.name} differ in size ({sizes}); make them all the same size.")
        return image

    source.timed = ((index / rate, partial(pixels, path)) for index, path in enumerate(paths))
    return source
