"""Pictures, folders of pictures, and frames larger than anything needs, given wherever a command takes a video."""

from __future__ import annotations

import random
import struct
import zlib
from io import BytesIO
from pathlib import Path

from .assets import Assets
from .judge import Case
from .media import EXTREMES, Maker, bad_one, chunk, good_ones, in_folder, picture, put, video

SEEDS = 4


def valid(folder: Path, assets: Assets) -> list[Case]:
    return good_ones(folder, assets)


def case(seed: int, folder: Path, assets: Assets) -> Case:
    return bad_one("pictures", KINDS, seed, folder, assets)


def other_picture(chance: random.Random, folder: Path) -> str:
    """Kinds of pictures that are handed to other programs, or to rarely used decoders, under common endings."""
    mark = folder.parent / "outside" / "mark"
    eps = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\n({mark}) (w) file closefile\nshowpage\n"
    odd = {"eps": eps.encode()}
    for kind in ("TIFF", "ICO", "PPM", "TGA", "PCX", "JPEG2000", "SGI", "DDS", "PDF"):
        try:
            odd[kind] = picture(32, 32, kind)
        except (OSError, KeyError, ValueError):  # not in this build of Pillow
            continue
    kind = chance.choice(("eps", *sorted(odd)))
    name = "evil." + chance.choice(("png", "jpg", "gif", "eps", kind.lower()))
    return in_folder(chance, folder, name, odd[kind])


def too_large(chance: random.Random, folder: Path) -> str:
    side = chance.choice((9000, 13000, 20000, 65500))
    row = zlib.compress(b"\0" * (1 + side // 8) * 64, 9)
    ihdr = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    files = {
        "png": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", row) + chunk(b"IEND", b""),
        "gif": b"GIF89a" + struct.pack("<HH", min(side, 65535), min(side, 65535)) + video("gif")[10:],
        "bmp": b"BM"
        + struct.pack("<IIIIiiHHIIiiII", 9999, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
        + b"\0" * 99,
        "y4m": f"YUV4MPEG2 W{side} H{side} F8:1 Ip A1:1 C420\nFRAME\n".encode() + b"\0" * 9999,
        "mp4": video("mp4", 8200, 4400, 1),
        "avi": video("avi", 8200, 4400, 1),
    }
    kind = chance.choice(sorted(files))
    return in_folder(chance, folder, f"evil.{kind}", files[kind])


def whole_and_large(chance: random.Random, folder: Path) -> str:
    """Pictures and frames that are as large as they say."""
    side = chance.choice((4096, 6000, 12_000))
    from PIL import Image

    image, file = Image.new(chance.choice(("1", "P", "L")), (side, side)), BytesIO()
    image.save(file, "PNG")
    if chance.random() < 0.5:
        return put(folder, "evil.mp4", video("mp4", 4096, 4096, 2))
    return in_folder(chance, folder, "evil.png", file.getvalue())


def sequence(chance: random.Random, folder: Path) -> str:
    """A folder of pictures that do not go together, or of which one is not sound."""
    from PIL import Image

    (folder / "seen").mkdir()
    modes = ("RGB", "L", "1", "P", "RGBA", "I;16", "LA")
    for index in range(4):
        size = (32, 32) if chance.random() < 0.8 else (chance.choice((1, 32, 900)), 32)
        Image.new(chance.choice(modes), size).save(folder / "seen" / f"{index}.png")
    bad = {
        "cmyk.jpg": lambda f: Image.new("CMYK", (32, 32)).save(f, "JPEG"),
        "exif.jpg": lambda f: f.write(odd_exif(chance)),
        "empty.png": lambda f: None,
        "cut.png": lambda f: f.write(picture(32, 32, "PNG")[: chance.randrange(60)]),
        "text.png": lambda f: f.write(b"hello"),
        "bomb.png": lambda f: f.write(text_bomb()),
        "flipped.webp": lambda f: f.write(bytes(b ^ (chance.random() < 0.05) for b in picture(32, 32, "WEBP"))),
        "flipped.bmp": lambda f: f.write(bytes(b ^ (chance.random() < 0.05) for b in picture(32, 32, "BMP")[:80])),
    }
    name = chance.choice(sorted(bad))
    with (folder / "seen" / name).open("wb") as file:
        bad[name](file)
    return "seen"


def many_pictures(chance: random.Random, folder: Path) -> str:
    (folder / "seen").mkdir()
    data = picture(chance.choice((1, 2, 16)), 2, "PNG")
    for index in range(chance.choice((2, 400))):
        (folder / "seen" / f"{index}.png").write_bytes(data)
    return "seen"


def odd_exif(chance: random.Random) -> bytes:
    tags = b"".join(
        struct.pack(">HHII", chance.choice((0x112, 0x8769, 0x8825, 0xA002)), chance.randrange(15), *counts)
        for counts in ((chance.choice(EXTREMES), chance.choice(EXTREMES)) for _ in range(4))
    )
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 4) + tags + b"\0" * 8
    data = picture(32, 32, "JPEG")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]


def text_bomb() -> bytes:
    """A picture with a text that unfolds to 200 MB."""
    data = picture(32, 32, "PNG")
    return data[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * (2 * 10**8), 9)) + data[33:]


KINDS: tuple[Maker, ...] = (
    other_picture,
    too_large,
    whole_and_large,
    sequence,
    many_pictures,
)
