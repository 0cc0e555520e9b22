"""Files for `convert` that are no dictionary of tensors: pickles that run programs, fill the memory or never end."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from motion_lib.files.convert import MODELSCOPE

from .assets import Assets
from .judge import Case

SEEDS = 8
EVIL, OUT = "evil.pt", "out.safetensors"
LAYERS = [layer.name for layer in MODELSCOPE.select("deep")]


def valid(folder: Path, assets: Assets) -> list[Case]:
    (folder / EVIL).write_bytes(saved(good()))
    return [Case("a published file", ("convert", EVIL, OUT), (OUT,))]


def case(seed: int, folder: Path, assets: Assets) -> Case:
    chance = random.Random(seed)
    change = chance.choice(list(CHANGES))
    content = CHANGES[change](chance, folder.parent / "outside")
    if content is None:
        os.mkfifo(folder / EVIL)
    else:
        (folder / EVIL).write_bytes(content)
    rest = chance.choice([(), (), ("--frames", "2"), ("--grid", "5x9"), ("--json",)])
    return Case(change, ("convert", EVIL, OUT, *rest), (OUT,))


def good() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    content: dict[str, Any] = OrderedDict()
    for layer in LAYERS[:2]:
        shared = torch.randn(1, 3, 1280, generator=generator)
        for attention in ("attn1", "attn2"):
            content[f"{layer}.transformer_blocks.0.{attention}.qk"] = shared
            content[f"{layer}.transformer_blocks.0.{attention}.v"] = torch.randn(45, 3, 1280, generator=generator)
    return content


def saved(content: Any, **how: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **how)
    return buffer.getvalue()


def rewritten(content: bytes, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for record in old.infolist():
            new.writestr(record.filename, change(record.filename, old.read(record)))
    return buffer.getvalue()


def with_pickle(content: bytes) -> bytes:
    return rewritten(saved(good()), lambda name, old: content if name.endswith("data.pkl") else old)


class Runs:
    """A pickle that calls something."""

    def __init__(self, function: Any, *arguments: Any):
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def code(chance: random.Random, outside: Path) -> bytes:
    target = str(outside / "proof")
    call = chance.choice(
        [(os.system, f"touch {target}"), (Path.write_text, Path(target), "x"), (exec, f"open({target!r}, 'w')"),
         (eval, f"open({target!r}, 'w')"), (__import__, "antigravity"), (os.mkdir, target), (bytearray, 1 << 34),
         (torch.Tensor, 1 << 34), (torch.load, target), (getattr, "", "join")]
    )  # fmt: skip
    content = {**good(), "x": Runs(*call)}
    kind = chance.random()
    if kind < 0.6:
        return saved(content)
    return saved(content, _use_new_zipfile_serialization=False) if kind < 0.8 else pickle.dumps(Runs(*call))


def another_value(chance: random.Random, outside: Path) -> bytes:
    content = good()
    key = chance.choice(list(content))
    t = content[key]
    options: list[Callable[[], Any]] = [
        *(lambda: None, lambda: 3, lambda: "text", lambda: [t], lambda: t.tolist()[0][0], lambda: {"v": t}, lambda: {}),
        *(lambda: t.long(), lambda: t.bool(), lambda: t.to(torch.complex64), lambda: t.to(torch.float8_e4m3fn)),
        *(lambda: t.to_sparse(), lambda: t.to("meta"), lambda: torch.nested.nested_tensor([t[0]]), lambda: t.half()),
        *(lambda: torch.nn.Parameter(t), lambda: t.transpose(0, 2), lambda: t[:0], lambda: t[0], lambda: t[..., ::2]),
        *(lambda: t * torch.nan, lambda: t * 0, lambda: t * 1e30, lambda: t.double() * 1e300, lambda: t.numpy()),
        *(lambda: torch.quantize_per_tensor(t, 1.0, 0, torch.qint8), lambda: t.bfloat16(), lambda: t[:, :1]),
        *(
            lambda: torch.ones(1).expand(10**9, 3, 1280),
            lambda: t.clone().untyped_storage(),
            lambda: {1, 2},
            lambda: t.dtype,
        ),
    ]
    content[key] = chance.choice(options)()
    return saved(content)


def another_key(chance: random.Random, outside: Path) -> bytes:
    content = good()
    key = chance.choice(list(content))
    keys = [0, None, 10**4000, (1, 2), 1.5, True, "", "x", "\ud800" + key, "\x1b[2J" + key, key + "\n" * 500, key + "3"]
    keys += ["a" * 200_000, key * 1000, "up_blocks.9.temp_attentions.0.attn1.v", key.replace("attn1", "attn2")]
    value = content.pop(key)
    content[chance.choice(keys)] = value
    return saved(content)


def missing(chance: random.Random, outside: Path) -> bytes:
    content = good()
    for _ in range(chance.randint(1, len(content))):
        content.pop(chance.choice(list(content)))
    return saved(content)


def nested(chance: random.Random, outside: Path) -> bytes:
    content: Any = good()
    kind = chance.choice(["deep", "very deep", "itself", "laughs", "list"])
    if kind == "itself":
        content["again"] = content
    for _ in range({"deep": 20, "very deep": 300, "laughs": 60, "list": 60}.get(kind, 0)):
        content = (
            {"a": content, "b": content}
            if kind == "laughs"
            else [content, content]
            if kind == "list"
            else {"a": content}
        )
    return saved({"x": content} if kind == "list" else content)


def endless(chance: random.Random, outside: Path) -> bytes:
    """Pickles by hand."""
    depth = chance.choice([30, 60, 5000])
    pairs = b"".join(b"q%ch%c\x86" % (i % 250, i % 250) for i in range(depth))
    many = 200_000
    return with_pickle(
        chance.choice(
            [
                b"\x80\x02}X\x01\0\0\0a" + pairs + b"K\x01s.",
                b"\x80\x02}" + b"X\x01\0\0\0a}" * many + b"s" * many + b".",
                b"\x80\x02" + b"]" * many + b"a" * (many - 1) + b".",
                b"\x80\x02" + b"(" * many + b".",
                b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" * 1000 + b".",
                b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"a.",
                b"\x80\x02K\x01r" + struct.pack("<I", 2**32 - 1) + b".",
                b"\x80\x04\x8c\x05posix\x8c\x06system\x93.",
                b"\x80\x02\x8b" + struct.pack("<I", 2**31 - 1) + b".",
                b"I" + b"9" * 500_000 + b"\n.",
                b"\x80\x02ccollections\nOrderedDict\n]R.",
                b"",
            ]
        )
    )


def bomb(chance: random.Random, outside: Path) -> bytes:
    """Zeros, packed to a thousandth: as a tensor, as the pickle, or as something that nobody asks for."""
    size = chance.choice([50, 200]) << 20
    kind = chance.choice(["tensor", "pickle", "other"])
    if kind == "pickle":
        return rewritten(
            saved(good()),
            lambda name, old: old + bytes(size) if name.endswith("data.pkl") else old,
            zipfile.ZIP_DEFLATED,
        )
    content = saved({**good(), "x" if kind == "other" else f"{LAYERS[0]}.attn1.v": torch.zeros(size // 4)})
    return rewritten(content, lambda name, old: old, chance.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]))


def overlapping(chance: random.Random, outside: Path) -> bytes:
    content = good()
    large = torch.ones(45, 3, 1280)
    for layer in MODELSCOPE.layers:
        for attention in ("attn1", "attn2"):
            content[f"{layer.name}.{attention}.v"] = large[..., : layer.channels]
    return saved(content)


def numbers_of_the_pickle(chance: random.Random, outside: Path) -> bytes:
    def change(name: str, old: bytes) -> bytes:
        if not name.endswith("data.pkl"):
            return old
        new = bytearray(old)
        for _ in range(chance.choice([1, 2, 10])):
            new[chance.randrange(len(new))] = chance.choice([0, 1, 0xFF, ord("."), ord("h"), chance.randrange(256)])
        return bytes(new)

    return rewritten(saved(good()), change)


def bytes_of_the_archive(chance: random.Random, outside: Path) -> bytes:
    content = bytearray(saved(good()))
    places = [range(len(content)), range(min(600, len(content))), range(len(content) - 1200, len(content))]
    for _ in range(chance.choice([1, 5, 50])):
        content[chance.choice(chance.choice(places))] = chance.choice([0, 1, 8, 0xFF, chance.randrange(256)])
    return bytes(content)


def cut(chance: random.Random, outside: Path) -> bytes:
    content = saved(good())
    kind = chance.random()
    if kind < 0.5:
        return content[: chance.randrange(len(content))]
    return (
        b"PK\x03\x04" + chance.randbytes(5000) if kind < 0.7 else content + chance.randbytes(chance.randrange(70_000))
    )


CHANGES: dict[str, Callable[[random.Random, Path], bytes | None]] = {
    "code": code,
    "another value": another_value,
    "another key": another_key,
    "missing tensors": missing,
    "nested dictionaries": nested,
    "endless pickles": endless,
    "compressed archives": bomb,
    "overlapping tensors": overlapping,
    "bytes of the pickle": numbers_of_the_pickle,
    "bytes of the archive": bytes_of_the_archive,
    "cut short": cut,
    "a pipe": lambda chance, outside: None,
}
