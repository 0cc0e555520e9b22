"""Good videos and pictures, from which bad ones are made, and the commands that read them."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

from motion_lib.bundled.samples import SAMPLES

from .assets import SMALL, Assets
from .judge import Case

# Puts something bad into a folder; returns its name.
Maker = Callable[[random.Random, Path], str]

EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, 0x00FF00FF)
CODECS = {"webm": "libvpx", "avi": "mpeg4", "mpg": "mpeg1video", "flv": "flv", "y4m": "rawvideo", "mjpeg": "mjpeg"}


def good_ones(folder: Path, assets: Assets) -> list[Case]:
    (folder / "seen").mkdir()
    for index in range(4):
        (folder / "seen" / f"{index}.png").write_bytes(picture(32, 32, "PNG", index))
    return [
        *(of("evaluate", name, assets) for name in (assets.clip, "seen")),
        *(of(command, assets.clip, assets) for command in ("train", "train --mask", "imagine --edit")),
        of("generate --camera", str(SAMPLES["camera_pan"].path), assets),  # in which there is a camera to follow
        *(of(command, "seen/0.png", assets) for command in ("edit --mask", "train --mask")),
    ]


def of(command: str, name: str, assets: Assets, what: str = "valid") -> Case:
    """A command that reads the file or folder of this name."""
    train = ("train", "--prompt", "a bar", "--model", assets.model, "--steps", "1", "--out", "out.safetensors", *SMALL)
    commands = {
        "evaluate": ("evaluate", assets.clip, f"./{name}" if name.startswith("-") else name),
        "train": (*train, "--", name),
        "train --mask": (*train, f"--mask={name}", assets.clip),
        "edit --mask": ("edit", assets.motion, f"--mask={name}", "--out", "out.safetensors"),
        "generate --camera": (
            *("generate", "--prompt", "a bar", "--model", assets.model, "--steps", "1", "--out", "out.gif"),
            *(*SMALL, f"--camera={name}"),
        ),
        "imagine --edit": (
            *("imagine", "--prompt", "make it red", "--model", assets.editing, "--steps", "1", "--out", "out.gif"),
            *("--width", "16", "--height", "16", f"--edit={name}"),
        ),
    }
    return Case(f"{what}, {command}", commands[command], writes=("out*",))


def bad_one(title: str, kinds: Sequence[Maker], seed: int, folder: Path, assets: Assets) -> Case:
    """One of these commands, given what the kind whose turn it is makes."""
    chance = random.Random(f"{title} {seed}")
    kind = kinds[seed % len(kinds)]
    name = kind(chance, folder)
    commands = ["evaluate", "evaluate", "train", "train --mask", "generate --camera", "edit --mask", "imagine --edit"]
    return of(chance.choice(commands), name, assets, kind.__name__.replace("_", " "))


@cache
def video(suffix: str, width: int = 32, height: int = 32, count: int = 4, rate: int = 8) -> bytes:
    """A good one, in which something moves."""
    import av
    import numpy as np

    if suffix in ("gif", "webp", "png"):
        return picture(width, height, {"gif": "GIF", "webp": "WEBP", "png": "PNG"}[suffix], 0, count)
    file = BytesIO()
    formats = {"mkv": "matroska", "ts": "mpegts", "mpg": "mpeg", "y4m": "yuv4mpegpipe"}
    with av.open(file, "w", format=formats.get(suffix, suffix)) as container:
        # MPEG-1 knows only the rates of television.
        codec = "mjpeg" if width > 4096 else CODECS.get(suffix, "libx264")
        options = {"preset": "ultrafast", "tune": "zerolatency"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=25 if suffix == "mpg" else rate, options=options)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index in range(count):
            image = np.zeros((height, width, 3), np.uint8)
            image[:, width * index // count : width * (index + 1) // count] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def picture(width: int, height: int, kind: str, shade: int = 0, count: int = 1) -> bytes:
    from PIL import Image

    images = []
    for index in range(count):
        image = Image.new("RGB", (width, height), (shade * 20 % 256, 40, 90))
        image.paste((200, 200, 200), (width * index // count, 0, width * (index + 1) // count, height))
        images.append(image)
    file = BytesIO()
    more = {"save_all": True, "append_images": images[1:], "duration": 100} if count > 1 else {}
    images[0].save(file, kind, **more)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def put(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return name


def in_folder(chance: random.Random, folder: Path, name: str, data: bytes) -> str:
    """The file, or a folder that has it as one of its images."""
    if chance.random() < 0.5:
        return put(folder, name, data)
    (folder / "seen").mkdir()
    put(folder / "seen", str(Path(name).with_suffix(chance.choice((".png", ".jpg", ".bmp")))), data)
    put(folder / "seen", "z.png", picture(32, 32, "PNG"))
    return "seen"
