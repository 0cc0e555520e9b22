"""Models of Wan whose configurations, weights or words are not what they seem: folders as diffusers saves them, and
single files beside a text encoder."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import load_file, save_file

from . import model_folders
from .assets import Assets
from .judge import Case
from .model_folders import VALUES, Damage

SEEDS = 8
OLD = tuple(int(number) for number in diffusers.__version__.split(".")[:2]) < (0, 35)
MISSING = "diffusers before 0.35 has no Wan" if OLD else ""

PREFIXES = ("model.diffusion_model.", "diffusion_model.", "model.", "first_stage_model.", "vae.", "x.")
# Names that other models have, or nobody.
STRANGE = (
    *("vace_blocks.0.before_proj.weight", "control_adapter.conv.weight", "ref_conv.weight", "face_adapter.x"),
    *("scaled_fp8", "blocks.0.self_attn.q.scale_weight", "blocks.9999.ffn.0.weight", "blocks.99999.ffn.0.weight"),
    *("blocks..ffn.0.weight", "blocks.-1.ffn.0.weight", "blocks.0", "blocks.", "blocks.\u0663.ffn.0.weight"),
    *("img_emb.proj.0.weight", "img_emb.emb_pos", "head.modulation", "text_embedding.0.weight.x", "\ud7ff", "\u2028"),
    *("decoder.upsamples.0.upsamples.0.residual.2.weight", "decoder.middle.0.residual.0.gamma", "\x1b[2J", ""),
    *("a" * 5000, "__class__", "../../outside/secret.txt"),
)  # fmt: skip
KEYS = ("num_heads", "text_dim", "dim", "num_layers", "_class_name", "quantization_config", "ffn_dim")


def valid(folder: Path, assets: Assets) -> list[Case]:
    return [_generate(kind, name, folder, assets) for name, kind in (("one", "folder"), ("other", "files"))]


def case(seed: int, folder: Path, assets: Assets) -> Case:
    chance = random.Random(f"models of Wan {seed}")
    kind = chance.choice(("folder", "files"))
    damages = FOLDER if kind == "folder" else FILES
    case = _generate(kind, "model", folder, assets)
    damage = chance.choices(list(damages), [weight for weight, _ in damages.values()])[0]
    name = f"{kind}, {damage}: {damages[damage][1](folder / 'model', chance)}"
    return Case(name, case.argv, case.writes)


def _generate(kind: str, name: str, folder: Path, assets: Assets) -> Case:
    shutil.copytree(assets.wan if kind == "folder" else assets.wan_files, folder / name)
    motion = ("--motion", assets.stacked) if kind == "folder" else ()
    size = ("--frames", "5", "--width", "16", "--height", "16", "--steps", "1")
    return Case(
        kind, ("generate", *motion, "--model", name, *size, "--prompt", "a bar", "--out", "video.gif"), ("video*",)
    )


def _pieces(model: Path, chance: random.Random) -> str:
    """T5's pieces of words, their scores, or whatever else tokenizer.json holds."""
    path = model / "tokenizer" / "tokenizer.json"
    content = json.loads(path.read_text())
    words = content["model"]["vocab"]
    at = chance.randrange(len(words))
    kinds: dict[str, Callable[[], Any]] = {
        "a piece": lambda: words.__setitem__(at, [chance.choice(VALUES), chance.choice(VALUES)]),
        "a score": lambda: words[at].__setitem__(1, chance.choice(VALUES)),
        "a word": lambda: words[at].__setitem__(0, chance.choice(WORDS)),
        "the same piece": lambda: words.extend([words[at]] * chance.choice((1, 5000))),
        "a lost piece": lambda: words.pop(chance.choice((0, 1, 2, at))),
        "one piece": lambda: words.__setitem__(slice(None), words[:1]),
        "millions of pieces": lambda: words.extend([[f"x{i}", -1.0] for i in range(chance.choice((10**5, 10**6)))]),
        "the scores": lambda: [piece.__setitem__(1, chance.choice((0.0, 1e308, -1e308, 5))) for piece in words],
        "unk_id": lambda: content["model"].__setitem__("unk_id", chance.choice(VALUES)),
        "byte_fallback": lambda: content["model"].__setitem__("byte_fallback", chance.choice(VALUES)),
        "the model": lambda: content.__setitem__("model", chance.choice(VALUES)),
        "the kind": lambda: content["model"].__setitem__("type", chance.choice(("BPE", "WordPiece", *VALUES))),
        "the vocabulary": lambda: content["model"].__setitem__("vocab", chance.choice(VALUES)),
        "the rules": lambda: content.__setitem__(chance.choice(RULES), chance.choice((EVIL, *VALUES))),
        "spiece alone": lambda: shutil.copy(path, path.with_name("spiece.model")) and content.clear(),
    }  # fmt: skip
    kind = chance.choice(sorted(kinds))
    kinds[kind]()
    path.write_text(json.dumps(content))
    if kind == "spiece alone":
        path.unlink()
    return kind


WORDS = ("", " ", "\ud800", "\x00", "▁" * 9999, "</s>", "ﷺ" * 99)
RULES = ("normalizer", "pre_tokenizer", "post_processor", "decoder", "truncation", "padding", "added_tokens")
EVIL = {"type": "Precompiled", "precompiled_charsmap": "/////////////////////w=="}


def _names(model: Path, chance: random.Random) -> str:
    """Tensors of a single file have other names, or there are more or fewer of them."""
    path, tensors = _file(model, chance)
    some = chance.choice(sorted(tensors))
    kind = chance.choice(("added", "added", "renamed", "lost", "prefixed", "twice", "all lost", "many blocks"))
    if kind == "added":
        tensors[some := chance.choice(STRANGE)] = torch.zeros(chance.choice(((), (0,), (1,), (4, 4), (1, 2, 2, 2, 2))))
    elif kind == "renamed":
        tensors[chance.choice(STRANGE)] = tensors.pop(some)
    elif kind == "lost":
        del tensors[some]
    elif kind == "prefixed":
        prefix = chance.choice(PREFIXES)
        tensors = {prefix + name if chance.random() < 0.99 else name: value for name, value in tensors.items()}
    elif kind == "twice":
        tensors |= {chance.choice(PREFIXES) + name: value.clone() for name, value in tensors.items()}
    elif kind == "all lost":
        tensors = {name: value for name, value in tensors.items() if name in (some, "head.modulation")}
    else:
        count = chance.choice((99, 3000, 20_000))
        tensors |= {f"blocks.{i}.norm3.bias": torch.zeros(1) for i in range(count)}
    save_file(tensors, path)
    return f"{path.name} {kind} {some!a:.60}"


def _shapes(model: Path, chance: random.Random) -> str:
    """One tensor of a single file, or all, of another shape or type."""
    path, tensors = _file(model, chance)
    marks = ("head.modulation", "head.head.weight", "patch_embedding.weight", "text_embedding.0.weight", "conv2.weight")
    some = chance.choice([name for name in marks if name in tensors] * 3 + sorted(tensors))
    value = tensors[some]
    changes: dict[str, Callable[[], torch.Tensor]] = {
        "of no size": lambda: value[:0],
        "of no axes": lambda: torch.zeros(()),
        "one axis more": lambda: value[None],
        "one axis less": lambda: value.flatten(0, 1) if value.ndim > 1 else value[0],
        "half": lambda: value[: len(value) // 2],
        "twice": lambda: torch.cat([value, value]),
        "wide": lambda: torch.zeros(*value.shape[:-1], 10**5 // max(1, value[..., 0].numel())),
        "turned": lambda: value.transpose(0, -1),
        "whole numbers": value.long,
        "truths": lambda: value > 0,
        "float8": lambda: value.to(torch.float8_e4m3fn),
        "float64": value.double,
        "no numbers": lambda: value * float("nan"),
    }
    kind = chance.choice(sorted(changes))
    tensors[some] = changes[kind]().contiguous()
    save_file(tensors, path)
    return f"{path.name} {some[:60]} {kind}"


def _metadata(model: Path, chance: random.Random) -> str:
    """What the header of a single file says of its model."""
    path, tensors = _file(model, chance)
    value = chance.choice(VALUES)
    said = {key: chance.choice(VALUES) for key in chance.sample(KEYS, chance.choice((1, 1, 3)))}
    texts = {
        "fields": lambda: json.dumps({"transformer": said}),
        "another transformer": lambda: json.dumps({"transformer": value}),
        "another object": lambda: json.dumps(value),
        "no JSON": lambda: chance.choice(("", "x", "[" * 200_000, "9" * 10_000, '{"transformer":' * 9999, "\x00")),
        "a long text": lambda: json.dumps({"transformer": {}, "x": "x" * 40_000_000}),
    }
    kind = chance.choice(sorted(texts))
    save_file(tensors, path, metadata={"config": texts[kind](), "format": "pt"})
    return f"{path.name} {kind} {ascii(said if kind == 'fields' else value)[:60]}"


def _together(model: Path, chance: random.Random) -> str:
    """More files than one of a kind, fewer, or one in the place of the other."""
    wan, vae = model / "wan.safetensors", model / "autoencoder.safetensors"
    kind = chance.choice(("two", "exchanged", "the same", "alone", "in one", "a folder beside", "many"))
    if kind == "two":
        shutil.copy(chance.choice((wan, vae)), model / "a\x1b[31m second.safetensors")
    elif kind == "exchanged":
        wan.rename(model / "x.safetensors")
        vae.rename(wan)
    elif kind == "the same":
        shutil.copy(wan, vae)
    elif kind == "alone":
        chance.choice((wan, vae)).unlink()
    elif kind == "in one":
        save_file(load_file(wan) | load_file(vae), wan)
        vae.unlink()
    elif kind == "a folder beside":
        (model / chance.choice(("unet", "transformer", "vae", "x.safetensors"))).mkdir()
    else:
        for i in range(300):
            (model / f"{i}.safetensors").write_bytes(b"\x08" + bytes(7) + b"{}      ")
    return kind


def _file(model: Path, chance: random.Random) -> tuple[Path, dict[str, torch.Tensor]]:
    path = model / chance.choice(("wan.safetensors", "wan.safetensors", "autoencoder.safetensors"))
    return path, dict(load_file(path))


# A T5 tokenizer has neither merges nor a vocab.json.
SHARED: dict[str, tuple[int, Damage]] = {k: v for k, v in model_folders.DAMAGES.items() if k != "vocabulary"}
FOLDER = SHARED | {"pieces": (8, _pieces)}
FILES = {name: (1, damage) for name, (_, damage) in SHARED.items()} | {
    "pieces": (2, _pieces),
    "names": (6, _names),
    "shapes": (6, _shapes),
    "metadata": (4, _metadata),
    "together": (3, _together),
}
