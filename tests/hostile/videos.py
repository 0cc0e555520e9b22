"""Videos, animations, playlists and pictures that are not what they seem, given wherever a command takes one."""

from __future__ import annotations

import os
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path

from motion_lib.bundled.samples import SAMPLES

from .assets import SMALL, Assets
from .judge import Case

SEEDS = 11
EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, 0x00FF00FF)
SUFFIXES = ("mp4", "mkv", "avi", "webm", "mov", "gif", "webp", "png", "ts", "mpg", "flv", "h264", "y4m", "mjpeg")
CODECS = {"webm": "libvpx", "avi": "mpeg4", "mpg": "mpeg1video", "flv": "flv", "y4m": "rawvideo", "mjpeg": "mjpeg"}


def valid(folder: Path, assets: Assets) -> list[Case]:
    (folder / "seen").mkdir()
    for index in range(4):
        (folder / "seen" / f"{index}.png").write_bytes(picture(32, 32, "PNG", index))
    return [
        *(of("evaluate", name, assets) for name in (assets.clip, "seen")),
        *(of(command, assets.clip, assets) for command in ("train", "train --mask")),
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
    }
    return Case(f"{what}, {command}", commands[command], writes=("out*",))


def case(seed: int, folder: Path, assets: Assets) -> Case:
    chance = random.Random(f"videos {seed}")
    kind = KINDS[seed % len(KINDS)]
    name = kind(chance, folder)
    commands = ["evaluate", "evaluate", "train", "train --mask", "generate --camera", "edit --mask"]
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


def damaged(chance: random.Random, folder: Path) -> str:
    suffix = chance.choice(SUFFIXES)
    data = bytearray(video(suffix))
    for _ in range(chance.choice((1, 4, 40))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return put(folder, f"evil.{suffix}", bytes(data))


def cut_short(chance: random.Random, folder: Path) -> str:
    suffix = chance.choice(SUFFIXES)
    data = video(suffix)
    return put(folder, f"evil.{suffix}", data[: chance.randrange(len(data))])


def lies_in_numbers(chance: random.Random, folder: Path) -> str:
    """Sizes, counts, times and lengths in headers, written over by extreme ones."""
    suffix = chance.choice(("mp4", "mp4", "mov", "mkv", "avi", "gif", "webp", "png", "ts", "flv"))
    data = bytearray(video(suffix))
    start = data.find(b"moov") if suffix in ("mp4", "mov") else 0
    for _ in range(chance.choice((1, 2, 8))):
        at = chance.randrange(start, max(start + 1, min(len(data), start + 900) - 4))
        struct.pack_into(chance.choice("<>") + "I", data, at, chance.choice(EXTREMES))
    return put(folder, f"evil.{suffix}", bytes(data))


def box_lies(chance: random.Random, folder: Path) -> str:
    """The boxes of an .mp4 that say how many frames there are, how large and when."""
    data = bytearray(video("mp4"))
    for _ in range(chance.choice((1, 2, 3))):
        box = chance.choice((b"mvhd", b"tkhd", b"mdhd", b"stts", b"stsz", b"stsc", b"stco", b"avc1", b"elst", b"ctts"))
        at = data.find(box)
        if at >= 0:
            struct.pack_into(">I", data, at + 4 + 4 * chance.randrange(1, 22), chance.choice(EXTREMES))
    return put(folder, "evil.mp4", bytes(data))


def random_bytes(chance: random.Random, folder: Path) -> str:
    suffix = chance.choice(SUFFIXES)
    return put(folder, f"evil.{suffix}", video(suffix)[: chance.choice((0, 4, 12, 40))] + chance.randbytes(2000))


def playlist(chance: random.Random, folder: Path) -> str:
    """What names other files, or addresses, under any ending."""
    secret = folder.parent / "outside" / "secret.mp4"
    secret.write_bytes(video("mp4"))
    (secret.with_name("secret0.png")).write_bytes(picture(32, 32, "PNG"))
    (folder / "near.ts").write_bytes(video("ts"))
    target = chance.choice((str(secret), "../outside/secret.mp4", f"file:{secret}", "http://127.0.0.1:9/a.ts", "evil"))
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n"
    texts = {
        "m3u8": f"{head}#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
        "live": f"{head}#EXTINF:1,\nnear.ts\n",
        "master": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{target}\n",
        "key": f'{head}#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF:1,\nnear.ts\n#EXT-X-ENDLIST\n',
        "concat": f"ffconcat version 1.0\nfile '{target}'\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
        "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" minBufferTime="PT1S">'
        f'<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>",
        "ffmeta": ";FFMETADATA1\ntitle=x\n[STREAM]\n",
        "asx": f'<asx version="3.0"><entry><ref href="{target}"/></entry></asx>',
        "svg": '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<image xlink:href="{target}"/></svg>',
        "vapoursynth": f"import os; open({str(secret)!r})",
        "avisynth": f'DirectShowSource("{target}")',
    }
    kind = chance.choice(sorted(texts))
    return put(folder, "evil." + chance.choice((kind, "m3u8", "mp4", "ts", "gif", "mkv", "png")), texts[kind].encode())


def pattern(chance: random.Random, folder: Path) -> str:
    """Names that FFmpeg may take for many files, or for an address."""
    outside = folder.parent / "outside"
    for index in range(3):
        (outside / f"seen{index}.png").write_bytes(picture(32, 32, "PNG"))
    names = ("../outside/seen%d.png", "../outside/seen%1d.jpg", "concat:../outside/seen0.png|x", "pipe:0", "-")
    names += ("file:../outside/seen0.png", "lavfi:testsrc", "http://127.0.0.1:9/a.mp4", "subfile,,start,0,end,9,,:x")
    names += ("data:video/mp4;base64,AAAA", "async:cache:../outside/secret.txt", "md5:there.txt", "tcp://127.0.0.1:9")
    return chance.choice(names)


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


def too_long(chance: random.Random, folder: Path) -> str:
    """A few hundred kilobytes of ten thousands of frames."""
    kinds: tuple[Callable[[], tuple[str, bytes]], ...] = (
        lambda: ("evil.h264", video("h264", 16, 16) * 8000),
        lambda: ("evil.h264", video("h264", 256, 256) * 800),
        lambda: ("evil.mp4", long_video()),
        lambda: ("evil.gif", long_gif(12_000)),
    )
    return put(folder, *chance.choice(kinds)())


@cache
def long_video() -> bytes:
    return video("mp4", 64, 64, 30_000, 30)


@cache
def long_gif(count: int) -> bytes:
    data = picture(4, 4, "GIF", 1, 2)
    start = data.find(b"\x21\xf9")
    return data[:start] + data[start:-1] * (count // 2) + b";"


def not_regular(chance: random.Random, folder: Path) -> str:
    path = folder / "evil.mp4"
    acts: tuple[Callable[[], object], ...] = (
        lambda: os.mkfifo(path),
        lambda: path.mkdir(),
        lambda: path.symlink_to("evil.mp4"),
        lambda: path.symlink_to("nowhere.mp4"),
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to("/dev/stdin"),
        lambda: path.symlink_to("/proc/self/mem"),
        lambda: path.touch(),
        lambda: path.symlink_to(folder),
    )
    chance.choice(acts)()
    if chance.random() < 0.5:
        path.rename(folder / "evil.png")
        return "."
    return "evil.mp4"


def odd_name(chance: random.Random, folder: Path) -> str:
    names = ("²", "a²b3", "٣", "१२", "x" * 240, "\x1b[2J", "a\nb", "\udcff", "a%03d", "‮4pm", "' or 1", "9" * 200, "-x")
    name = chance.choice(names)
    if chance.random() < 0.3:
        return chance.choice(("x" * 300, "a\0b", "nowhere/" * 700, "/" * 5000, "", " ", "..", "/", "~", "~root"))
    if chance.random() < 0.5:
        (folder / "seen").mkdir()
        for stem in (name, "1", "10", "2", chance.choice(names)):
            (folder / "seen" / f"{stem}.png").write_bytes(picture(32, 32, "PNG"))
        return "seen"
    return put(folder, f"{name}.mp4", video("mp4"))


def sizes_change(chance: random.Random, folder: Path) -> str:
    parts = [video("h264", 16 * chance.choice((1, 2, 9, 40)), 16 * chance.choice((1, 2, 9, 40))) for _ in range(4)]
    if chance.random() < 0.5:
        return put(folder, "evil.h264", b"".join(parts))
    data = video("gif")
    for _ in range(3):  # frames of another place and size
        at = data.rfind(b"\x2c\0\0")
        data = (
            data[: at + 1]
            + struct.pack("<HHHH", *(chance.choice((0, 3, 999, 65535)) for _ in range(4)))
            + data[at + 9 :]
        )
    return put(folder, "evil.gif", data)


def odd_times(chance: random.Random, folder: Path) -> str:
    """Times that stand still, jump, or go back, and clocks that do not run."""
    import av

    file = BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=chance.choice((1, 8, 1000, 65535)))
        stream.width = stream.height = 32
        packets = []
        for _ in range(6):
            packets += stream.encode(av.VideoFrame(32, 32, "yuv420p"))
        time = 0
        for packet in packets + stream.encode():
            time += chance.choice((0, 1, 5, 10**6, 10**9))
            packet.pts = packet.dts = time
            container.mux(packet)
    return put(folder, "evil.mkv", file.getvalue())


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


def sound_only(chance: random.Random, folder: Path) -> str:
    import av
    import numpy as np

    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return put(folder, chance.choice(("evil.m4a", "evil.mp4", "evil.gif")), file.getvalue())


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


KINDS: tuple[Callable[[random.Random, Path], str], ...] = (
    *(damaged, cut_short, lies_in_numbers, box_lies, random_bytes, playlist, pattern, other_picture, too_large),
    *(whole_and_large, too_long, not_regular, odd_name, sizes_change, odd_times, sequence, many_pictures, sound_only),
)
