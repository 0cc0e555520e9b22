"""Videos, animations and playlists that are not what they seem, given wherever a command takes one."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path

from .assets import Assets
from .judge import Case
from .media import EXTREMES, Maker, bad_one, good_ones, picture, put, video

SEEDS = 8
SUFFIXES = ("mp4", "mkv", "avi", "webm", "mov", "gif", "webp", "png", "ts", "mpg", "flv", "h264", "y4m", "mjpeg")


def valid(folder: Path, assets: Assets) -> list[Case]:
    return good_ones(folder, assets)


def case(seed: int, folder: Path, assets: Assets) -> Case:
    return bad_one("videos", KINDS, seed, folder, assets)


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


KINDS: tuple[Maker, ...] = (
    *(damaged, cut_short, lies_in_numbers, box_lies, random_bytes, playlist, pattern, too_long, not_regular, odd_name),
    *(sizes_change, odd_times, sound_only),
)
