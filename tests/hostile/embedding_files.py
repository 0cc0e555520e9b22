"""Motion files whose header, details or tensors are not what they should be, given to every command that reads one."""

from __future__ import annotations

import json
import math
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .assets import SMALL, Assets
from .judge import Case
from .wan_models import MISSING

SEEDS = 20
EVIL, OUT = "evil.safetensors", ("out.safetensors", "out.webp")
NUMBERS = [
    0,
    -1,
    1,
    3,
    0.5,
    -0.0,
    1e-320,
    1e308,
    10**18,
    2**63,
    2**64,
    10**400,
    10**4200,
    math.nan,
    math.inf,
    -math.inf,
]
TEXTS = [
    *(
        "",
        "x",
        "\ud800",
        "a\udcff",
        "two\nlines",
        "\x1b[2J\x1b]0;owned\x07",
        "\u202efdp.exe",
        "\x9b31m",
        "\0",
        "\u2028",
    ),
    *("<img src=x onerror=alert(1)>", "../../outside/secret.txt", "a" * 50_000, "é" * 3000, "\n" * 500, "%s{0}${x}"),
]
OTHERS = [None, True, False, [], {}, [[]], {"": ""}, [1, "a"], ["a"] * 3000, {str(i): i for i in range(2000)}]
COMMANDS: list[tuple[str, ...]] = [
    ("inspect", EVIL),
    ("inspect", EVIL, "--json"),
    ("edit", EVIL, "--mirror", "horizontal", "--reverse"),
    ("edit", EVIL, "--retime", "2", "--loop", "close", "--compress", "2"),
    ("edit", EVIL, "--frames", "9", "--scale", "0.5"),
    ("edit", EVIL, "--region", "0,0,0.5,1"),
    ("edit", EVIL, "--bake", "advised", "--title", "new"),
    ("edit", EVIL, "GOOD", "--blend", "0.3"),
    ("edit", "GOOD", EVIL, "--add"),
    ("edit", EVIL, "GOOD", "--combine"),
]
GENERATE = (
    "generate",
    "--motion",
    EVIL,
    "--prompt",
    "x",
    "--steps",
    "1",
    "--guidance",
    "1",
    *SMALL,
    "--out",
    "out.webp",
)
Header = dict[str, Any]


def command(chance: random.Random, assets: Assets, stacked: bool = False) -> tuple[str, ...]:
    if chance.random() < 0.15:  # a model has to be loaded
        reference = ("--reference", assets.clip) if chance.random() < 0.5 and not stacked else ()
        return (*GENERATE, "--model", assets.wan if stacked else assets.model, *reference)
    words = [good(assets, stacked) if word == "GOOD" else word for word in chance.choice(COMMANDS)]
    return (*words, "--out", "out.safetensors") if words[0] == "edit" else tuple(words)


def good(assets: Assets, stacked: bool) -> str:
    """Every fourth is a file of version 3, learned on a stack of blocks."""
    return assets.stacked if stacked else assets.motion


def valid(folder: Path, assets: Assets) -> list[Case]:
    (folder / EVIL).write_bytes(Path(assets.motion).read_bytes())
    rest = ("--model", assets.model, "--reference", assets.clip)
    cases = [Case("generate", (*GENERATE, *rest), OUT)]
    for words in COMMANDS:
        words = tuple(assets.motion if word == "GOOD" else word for word in words)
        cases.append(Case(words[0], (*words, "--out", "out.safetensors") if words[0] == "edit" else words, OUT))
    if not MISSING:
        words = "generate", *GENERATE[1:], "--model", assets.wan, "--frames", "5", "--motion", assets.stacked
        cases.append(Case("of version 3", words, OUT))
    return cases


def case(seed: int, folder: Path, assets: Assets) -> Case:
    chance = random.Random(seed)
    change = chance.choice(list(CHANGES))
    stacked = seed % 4 == 3 and not MISSING
    content = CHANGES[change](chance, Path(good(assets, stacked)).read_bytes())
    if content is None:
        os.mkfifo(folder / EVIL)
    else:
        (folder / EVIL).write_bytes(content)
    return Case(change, command(chance, assets, stacked), OUT)


def nasty(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if kind < 0.4:
        return chance.choice(NUMBERS)
    if kind < 0.7:
        return chance.choice(TEXTS)
    if kind < 0.9 or depth > 3:
        return chance.choice(OTHERS)
    inside = [nasty(chance, depth + 1) for _ in range(chance.randrange(4))]
    return inside if chance.random() < 0.5 else {str(chance.choice(TEXTS)): value for value in inside}


def opened(content: bytes) -> tuple[Header, bytes]:
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def closed(header: Header | str, data: bytes) -> bytes:
    text = header if isinstance(header, str) else json.dumps(header)
    encoded = text.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(encoded)) + encoded + data


def of_texts(change: Callable[[random.Random, dict[str, str]], None]) -> Callable[[random.Random, bytes], bytes]:
    """A change of the header's strings."""

    def apply(chance: random.Random, content: bytes) -> bytes:
        header, data = opened(content)
        change(chance, header["__metadata__"])
        return closed(header, data)

    return apply


def inside(field: str, change: Callable[[random.Random, Any], Any]) -> Callable[[random.Random, bytes], bytes]:
    """A change of the JSON in one of them."""

    def apply(chance: random.Random, texts: dict[str, str]) -> None:
        value = json.loads(texts[field])
        texts[field] = json.dumps(change(chance, value) or value)

    return of_texts(apply)


def some_place(chance: random.Random, value: Any) -> None:
    """One entry, at any depth, becomes something else, or there is one more."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(value[key], dict | list) and value[key] and chance.random() < 0.8:
            value = value[key]
            continue
        if isinstance(value, dict) and chance.random() < 0.2:
            value[str(chance.choice(TEXTS))] = nasty(chance)
        else:
            value[key] = nasty(chance)
        return


def field_of_details(chance: random.Random, details: dict[str, Any]) -> None:
    usual = [
        "fps",
        "title",
        "preset",
        "losses",
        "score",
        "trained_steps",
        "thumbnail",
        "prompt",
        "file",
        "fits",
        "apply",
    ]
    for _ in range(chance.randint(1, 3)):
        details[chance.choice([*usual, "made_from", str(chance.choice(TEXTS))])] = nasty(chance)


def way_of_applying(chance: random.Random, details: dict[str, Any]) -> None:
    details["apply"][chance.choice([*details["apply"], "other"])] = nasty(chance)


def account_of_edits(chance: random.Random, details: dict[str, Any]) -> None:
    edits = ["mirror", "reverse", "retime", "loop", "scale", "blend"]
    names = ["edit", "axis", "speed", "how", "factor", "other"]
    value = [{"axis": "horizontal", "speed": 2.0, "how": "close", "edit": edit} for edit in chance.choices(edits, k=3)]
    value[chance.randrange(3)][chance.choice(names)] = nasty(chance)
    details["made_from"] = value * chance.choice([1, 1, 1, 400])


def very_deep(chance: random.Random, details: dict[str, Any]) -> None:
    value: Any = 1
    for _ in range(chance.choice([50, 150, 300, 450])):
        value = [value] if chance.random() < 0.5 else {"a": value}
    details["made_from" if chance.random() < 0.3 else "deep"] = value


def many_layers(chance: random.Random, backbone: dict[str, Any]) -> None:
    count = chance.choice([500, 1024, 20_000])
    backbone["layers"] += [{"name": f"l{i}", "channels": 1 + i, "depth": 0, "block": "in"} for i in range(count)]


def all_grids(chance: random.Random, grids: dict[str, Any]) -> dict[str, Any]:
    sizes = [0, -1, 1, 2, 8, 10_000, 2**31, 2**63, 0.5, math.inf, math.nan, "8", None]
    wanted = [chance.choice(sizes), chance.choice(sizes)]
    return {layer: wanted if chance.random() < 0.7 else grid for layer, grid in grids.items()}


def query_key_alone(chance: random.Random, content: bytes) -> bytes:
    """Tensors without spatial axes go with any grid: what is made of them may fill the memory."""
    header, data = opened(content)
    texts = header.pop("__metadata__")
    kept, parts, at = {}, [], 0
    for key, entry in header.items():
        if key.endswith(".qk"):
            start, end = entry["data_offsets"]
            kept[key] = {**entry, "data_offsets": [at, at + end - start]}
            parts.append(data[start:end])
            at += end - start
    side = chance.choice([64, 500, 4000, 16_384, 10**9])
    texts["grids"] = json.dumps({layer: [side, side] for layer in json.loads(texts["grids"])})
    return closed({"__metadata__": texts, **kept}, b"".join(parts))


def field_of_header(chance: random.Random, texts: dict[str, str]) -> None:
    name = chance.choice([*texts, "integration", "qk_axes", "v_axes", "compression", "modelspec.title"])
    kind = chance.random()
    if kind < 0.2:
        texts.pop(name, None)
    elif kind < 0.6:
        texts[name] = str(chance.choice(TEXTS)).encode("utf-8", "replace").decode()
    else:
        texts[name] = json.dumps(nasty(chance)) if kind < 0.9 else "[" * 5000 + "9" * 5000


def strings_of_another_type(chance: random.Random, content: bytes) -> bytes:
    header, data = opened(content)
    if chance.random() < 0.5:
        header["__metadata__"][chance.choice(list(header["__metadata__"]))] = nasty(chance)
    else:
        header["__metadata__"] = nasty(chance)
    return closed(header, data)


def tensor_entry(chance: random.Random, content: bytes) -> bytes:
    header, data = opened(content)
    key = chance.choice([key for key in header if key != "__metadata__"])
    entry = header[key]
    kind = chance.random()
    if kind < 0.3:
        entry[chance.choice(list(entry))] = nasty(chance)
    elif kind < 0.5:
        entry["dtype"] = chance.choice(["F64", "F32", "BF16", "I64", "I8", "U8", "BOOL", "F8_E4M3", "C64", "F99"])
    elif kind < 0.8:
        numbers = entry[chance.choice(["shape", "data_offsets"])]
        numbers[chance.randrange(len(numbers))] = chance.choice([*NUMBERS, numbers[0] + 1, 10**12])
    else:
        header[str(chance.choice(TEXTS)) if kind < 0.9 else key + ".map"] = header.pop(key)
    return closed(header, data)


def said_twice(chance: random.Random, content: bytes) -> bytes:
    header, data = opened(content)
    text = json.dumps(header)
    key = json.dumps(chance.choice(list(header)))
    return closed("{" + key + ": " + json.dumps(nasty(chance)) + ", " + text[1:], data)


def odd_values(chance: random.Random, content: bytes) -> bytes:
    header, data = opened(content)
    changed = bytearray(data)
    for _ in range(chance.choice([1, 20, 500])):
        changed[chance.randrange(len(changed))] = chance.choice([0, 0x7C, 0x7E, 0xFF, chance.randrange(256)])
    return closed(header, bytes(changed))


def flipped(chance: random.Random, content: bytes) -> bytes:
    """Single characters of the header."""
    changed = bytearray(content)
    length = struct.unpack("<Q", content[:8])[0]
    for _ in range(chance.choice([1, 1, 5, 50])):
        changed[chance.randrange(8 + length)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cut(chance: random.Random, content: bytes) -> bytes:
    kind = chance.random()
    if kind < 0.5:
        return content[: chance.randrange(len(content))]
    if kind < 0.7:
        return content + bytes(chance.choice([1, 100, 10_000_000]))
    return struct.pack("<Q", chance.choice([0, 1, 2, 2**31, 2**62, 2**64 - 1, 8 << 20])) + content[8:]


CHANGES: dict[str, Callable[[random.Random, bytes], bytes | None]] = {
    "any value of the details": inside("details", some_place),
    "fields of the details": inside("details", field_of_details),
    "the way of applying": inside("details", way_of_applying),
    "the account of edits": inside("details", account_of_edits),
    "very deep details": inside("details", very_deep),
    "any value of the backbone": inside("backbone", some_place),
    "many layers": inside("backbone", many_layers),
    "any value of the grids": inside("grids", some_place),
    "sizes of all grids": inside("grids", all_grids),
    "large grids of small tensors": query_key_alone,
    "a field of the header": of_texts(field_of_header),
    "fields of another type": strings_of_another_type,
    "an entry of a tensor": tensor_entry,
    "something twice": said_twice,
    "values of tensors": odd_values,
    "bits of the header": flipped,
    "sizes of the file": cut,
    "a pipe": lambda chance, content: None,
}
