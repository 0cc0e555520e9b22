"""Model folders whose configurations, weights and words are not what they seem."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from .assets import SMALL, Assets
from .judge import Case

SEEDS = 8

CONFIGS = (
    "unet/config.json",
    "transformer/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "scheduler/scheduler_config.json",
    "tokenizer/tokenizer_config.json",
)
WEIGHTS = (
    "unet/diffusion_pytorch_model.safetensors",
    "transformer/diffusion_pytorch_model.safetensors",
    "wan.safetensors",
    "autoencoder.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
)
WORDS = ("tokenizer/vocab.json", "tokenizer/merges.txt", "tokenizer/tokenizer.json")
# What a field may be given, whatever it is meant for.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 40_000, 10**8, 10**12, 2**63, 10**400, 0.5, -1.5, 1e-300, 1e308,
    float("nan"), float("inf"), float("-inf"), "", "x", "evil/kernel", "../../outside/secret.txt", "\ud800", "\x1b[31m",
    "a" * 100_000, [], {}, [0], [1, 2], [10**9] * 4, ["x"] * 4, [[8, 8], [8]], {"a": 1}, {"model_type": "bert"},
    [None], list(range(3000)),
)  # fmt: skip
# Fields that somebody may add in the hope that a library obeys them.
ADDED: tuple[tuple[str, Any], ...] = (
    ("attn_implementation", "evil/kernel"),
    ("_attn_implementation", "evil/kernel@main"),
    ("quantization_config", {"quant_method": "bitsandbytes", "load_in_4bit": True}),
    ("quantization_config", {"quant_method": "quanto", "weights": "int8"}),
    ("quantization_config", {"quant_method": "torchao"}),
    ("auto_map", {"AutoModel": "evil--code.Model", "AutoConfig": "evil--code.Config"}),
    ("_name_or_path", "evil/model"),
    ("_class_name", "EvilModel"),
    ("_class_name", ["evil", "Model"]),
    ("_class_name", "FlowMatchEulerDiscreteScheduler"),
    ("model_type", "bert"),
    ("tokenizer_class", "EvilTokenizer"),
    ("tokenizer_file", "../../outside/secret.txt"),
    ("vocab_file", "../../outside/secret.txt"),
    ("torch_dtype", "evil"),
    ("dtype", "float99"),
    ("_use_default_values", 3),
    ("use_flow_sigmas", True),
    ("trained_betas", [0.1] * 7),
    ("trained_betas", [1e-300] * 9),
    ("rescale_betas_zero_snr", True),
    ("transformers_weights", "../../outside/secret.txt"),
    ("added_tokens_decoder", {"5": {"content": "x"}}),
    ("extra_special_tokens", {"evil": "x"}),
    ("chat_template", "{{ 1/0 }}"),
)


def valid(folder: Path, assets: Assets) -> list[Case]:
    return [_generate("a model", "model", folder, assets)]


def case(seed: int, folder: Path, assets: Assets) -> Case:
    chance = random.Random(seed)
    case = _generate("", "model", folder, assets)
    damage = chance.choices(list(DAMAGES), [weight for weight, _ in DAMAGES.values()])[0]
    name = f"{damage}: {DAMAGES[damage][1](folder / 'model', chance)}"
    return Case(name, case.argv, case.writes)


def _generate(name: str, model: str, folder: Path, assets: Assets) -> Case:
    shutil.copytree(assets.model, folder / model)
    out = ("--out", "video.mp4", "--model", model, *SMALL, "--steps", "1", "--prompt", "a star")
    return Case(name, ("generate", "--motion", assets.motion, *out), ("video*",))


def there(model: Path, names: Sequence[str]) -> list[str]:
    return [name for name in names if (model / name).is_file()]


def _change(model: Path, chance: random.Random) -> str:
    """One to three fields of a configuration have other values."""
    path = model / chance.choice(there(model, CONFIGS))
    config, told = json.loads(path.read_text()), []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        field = chance.choice(sorted(config))
        config[field] = chance.choice(VALUES)
        told.append(f"{field} {ascii(config[field])[:40]}")
    path.write_text(json.dumps(config))
    return f"{path.parent.name} {', '.join(told)}"


def _near(model: Path, chance: random.Random) -> str:
    """A number or list is a little off, so that every check of types passes."""
    path = model / chance.choice([name for name in there(model, CONFIGS) if "tokenizer" not in name])
    config = json.loads(path.read_text())
    field = chance.choice([name for name in sorted(config) if isinstance(config[name], int | float | list)])
    value = config[field]
    if isinstance(value, list):
        changes: list[Any] = [
            value[:-1],
            value * 2,
            value[::-1],
            value[:1],
            [v * 2 if v == v and isinstance(v, int) else v for v in value],
        ]
    else:
        changes = [value + 1, value - 1, value * 2, value * 1000, -value, value / 2, int(value), value * 10**7]
    config[field] = chance.choice(changes)
    path.write_text(json.dumps(config))
    return f"{path.parent.name} {field} {ascii(config[field])[:40]}"


def _add(model: Path, chance: random.Random) -> str:
    path, (field, value) = model / chance.choice(there(model, CONFIGS)), chance.choice(ADDED)
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    return f"{path.parent.name} {field} {ascii(value)[:60]}"


def _remove(model: Path, chance: random.Random) -> str:
    path = model / chance.choice(there(model, CONFIGS))
    config = json.loads(path.read_text())
    gone = chance.sample(sorted(config), min(len(config), chance.choice((1, 1, 2, 5, 99))))
    path.write_text(json.dumps({name: value for name, value in config.items() if name not in gone}))
    return f"{path.parent.name} without {', '.join(gone)[:80]}"


TEXTS = {
    "nothing": b"",
    "a text": b'"x"',
    "a list": b"[1, 2]",
    "null": b"null",
    "a number": b"1e999",
    "deep": b"[" * 200_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "with a BOM": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a surrogate": b'{"\\ud800": "\\udfff"}',
    "a huge number": b'{"a": ' + b"9" * 10_000 + b"}",
    "huge": b'{"a": "' + b"x" * 50_000_000 + b'"}',
    "cut": b'{"a": 1, "b":',
    "an empty object": b"{}",
    "rubbish": bytes(range(256)) * 9,
}


def _text(model: Path, chance: random.Random) -> str:
    path = model / chance.choice(there(model, (*CONFIGS, *WORDS)))
    name = chance.choice(sorted(TEXTS))
    path.write_bytes(TEXTS[name])
    return f"{path.parent.name}/{path.name} is {name}"


def _odd_file(model: Path, chance: random.Random) -> str:
    path = model / chance.choice(there(model, (*CONFIGS, *WEIGHTS, *WORDS)))
    path.unlink()
    kind = chance.choice(("fifo", "folder", "loop", "device", "dangling", "gone", "no permission"))
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "no permission":
        path.write_text("{}")
        path.chmod(0)
    elif kind != "gone":
        path.symlink_to({"loop": path.name, "device": "/dev/zero", "dangling": "nothing"}[kind])
    return f"{path.parent.name}/{path.name} is {kind}"


def _weights(model: Path, chance: random.Random) -> str:
    """Bytes of the safetensors are changed: in the header, or their length."""
    path = model / chance.choice(there(model, WEIGHTS))
    data = bytearray(path.read_bytes())
    kind = chance.choice(("bytes", "header", "cut", "longer", "length", "empty"))
    if kind == "bytes":
        for _ in range(20):
            data[chance.randrange(len(data))] = chance.randrange(256)
    elif kind == "header":
        data[8 + chance.randrange(200)] = chance.randrange(256)
    elif kind == "cut":
        data = data[: chance.randrange(len(data))]
    elif kind == "longer":
        data += bytes(chance.randrange(9999))
    elif kind == "length":
        data[:8] = chance.choice((0, 1, 2**20, 2**40, 2**63)).to_bytes(8, "little")
    else:
        data = bytearray()
    path.write_bytes(data)
    return f"{path.parent.name} {kind}"


class _Payload:
    def __reduce__(self):
        return os.system, ("touch ../outside/owned",)


def _pickle(model: Path, chance: random.Random) -> str:
    """The weights as a pickle that is not what it seems."""
    path = model / chance.choice(there(model, WEIGHTS))
    tensors: dict[Any, Any] = dict(load_file(path))
    path.unlink()
    path = path.with_name({"model": "pytorch_model"}.get(path.stem, path.stem) + ".bin")
    first = sorted(tensors)[0]
    nested: Any = tensors
    for _ in range(300):
        nested = {"state_dict": nested}
    contents: dict[str, Any] = {
        "good": tensors,
        "code": {**tensors, first: _Payload()},
        "a list": list(tensors.values()),
        "nested": nested,
        "numbers for names": dict(enumerate(tensors.values())),
        "one number for all": {**tensors, first: torch.zeros(1).expand(10**6, 10**6)},
        "views": {name: torch.zeros(1).expand(t.shape) for name, t in tensors.items()},
        "whole numbers": {name: t.long() for name, t in tensors.items()},
        "complex": {name: t.to(torch.complex64) for name, t in tensors.items()},
        "float8": {name: t.to(torch.float8_e4m3fn) for name, t in tensors.items()},
        "sparse": {name: t.to_sparse() for name, t in tensors.items()},
        "not numbers": {name: t * float("nan") for name, t in tensors.items()},
    }
    kind = chance.choice((*sorted(contents), "rubbish", "old", "cut"))
    if kind == "rubbish":
        path.write_bytes(b"\x80\x02" + bytes(range(256)))
    else:
        torch.save(contents.get(kind, tensors), path, _use_new_zipfile_serialization=kind != "old")
    if kind == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return f"{path.parent.name} {kind}"


def _vocabulary(model: Path, chance: random.Random) -> str:
    folder = model / "tokenizer"
    words, merges = json.loads((folder / "vocab.json").read_text()), (folder / "merges.txt").read_text()
    kind = chance.choice(
        (
            "numbers",
            "texts",
            "negative",
            "huge",
            "same",
            "without the special",
            "nested",
            "merges",
            "unknown merges",
            "json",
        )
    )
    some = chance.choice(sorted(words))
    if kind in ("numbers", "texts", "negative", "huge", "nested"):
        words[some] = {"numbers": 1.5, "texts": "x", "negative": -1, "huge": 10**9, "nested": {"a": 1}}[kind]
    elif kind == "same":
        words = dict.fromkeys(words, 5)
    elif kind == "without the special":
        words.pop("<|endoftext|>")
    elif kind == "merges":
        merges = chance.choice(("a", "a b c\n", " \n \n", "#version\n" + "a b\n" * 99, "\u2028".join("ab")))
    elif kind == "unknown merges":
        merges += "zzzz qqqq\n"
    else:
        for name in ("vocab.json", "merges.txt"):
            (folder / name).unlink()
        evil = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Removed", "invert": False}
        model_part = {"type": "BPE", "vocab": words, "merges": [line.split() for line in merges.split("\n")[1:-1]]}
        one = {"version": "1.0", "model": model_part, "pre_tokenizer": evil, "padding": {"strategy": {"Fixed": 10**12}}}
        some = chance.choice(("model", "vocab", "merges", "pre_tokenizer"))
        place = one if some in one else model_part
        place[some] = chance.choice(VALUES) if some != "pre_tokenizer" else evil
        (folder / "tokenizer.json").write_text(json.dumps(one))
        return f"tokenizer.json {some} {ascii(place[some])[:40]}"
    (folder / "vocab.json").write_text(json.dumps(words))
    (folder / "merges.txt").write_text(merges)
    return f"{kind} {some!a}"


def _shards(model: Path, chance: random.Random) -> str:
    """Several files, and an index that points elsewhere."""
    path = model / chance.choice(there(model, WEIGHTS))
    kind = chance.choice(("outside", "one lost", "two sets", "rubbish"))
    index = path.with_name(path.name + ".index.json")
    names = ["../../../outside/secret.txt"] if kind == "outside" else [f"{path.stem}-00001-of-00002.safetensors"]
    index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(load_file(path), names[0])}))
    if kind == "rubbish":
        index.write_text("[" * 99_999)
    if kind in ("one lost", "two sets"):
        shutil.copy(path, path.with_name(f"{path.stem}-00001-of-00002.safetensors"))
        if kind == "two sets":
            shutil.copy(path, path.with_name(f"{path.stem}-00001-of-00003.safetensors"))
        path.unlink()
    return f"{path.parent.name} {kind}"


Damage = Callable[[Path, random.Random], str]
# How often, and what.
DAMAGES: dict[str, tuple[int, Damage]] = {
    "changed": (8, _change),
    "near": (6, _near),
    "added": (4, _add),
    "removed": (2, _remove),
    "text": (4, _text),
    "odd file": (3, _odd_file),
    "weights": (3, _weights),
    "pickle": (3, _pickle),
    "vocabulary": (3, _vocabulary),
    "shards": (1, _shards),
}
