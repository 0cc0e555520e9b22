"""Values that no option can take, in every option of every command: what there is to try is read from the commands'
own definitions, so that a new option is tried as soon as there is one."""

from __future__ import annotations

import argparse
import random
from functools import cache
from pathlib import Path

from motion_lib.cli import build_parser
from motion_lib.cli.common import DTYPES

from .assets import SMALL, Assets
from .judge import Case

SEEDS = 20
WHOLE = ("0", "-1", "-5", "2147483648", "9" * 19, "9" * 25, "9" * 5000, "1e3", "0x10", "²", "٣", "1_0", " ", "")
NUMBERS = (*WHOLE, "nan", "-nan", "inf", "-inf", "1e400", "1e-400", "1e38", "-1e308", "1e6", "0.5.5", "1,5", "½", "NaN")
TEXTS = (
    *("", " ", "a\0b", "\udcff", "\ud800x", "\x1b]0;x\x07", "a\nb", "x" * 100_000, "‮", "-", "--", "%s%n", "{0}", "\t"),
    *(
        ".",
        "..",
        "/",
        "/dev/null/x",
        "nowhere/x",
        "x/" * 3000,
        "x" * 300,
        "~",
        "~nobody",
        "file:///etc/passwd",
        "🎈" * 99,
    ),
    *("http://127.0.0.1:9/x", "org/model", "\\\\server\\x", "con", "a:b:c", "0:1,1:0", "1:0,0:1", "0:nan", "0:1e400"),
    *("0,0,1,1", "nan,0,1,1", "1,1,0,0", "10x18", "9999999x9999999", "-1x4", "0x0", "cuda:99", "meta", "xla", "mps"),
    *(
        "cotracker:",
        "cotracker:/etc/passwd",
        "up_blocks.*",
        "*" * 400,
        "[",
        ",,,",
        "object:steps=0",
        "object:steps=1e9",
    ),
)
IMAGES = ("--frames", "2", "--width", "16", "--height", "16")
NOWHERE = "nowhere"  # a model that is not there: what takes minutes is refused once its values have been read
ACTIONS = (argparse._HelpAction, argparse._VersionAction, argparse._SubParsersAction)


def valid(folder: Path, assets: Assets) -> list[Case]:
    return [Case(name, argv, writes=("out*",)) for name, argv in commands(assets).items() if NOWHERE not in argv]


def commands(assets: Assets) -> dict[str, tuple[str, ...]]:
    """A call of every command, in a moment each."""
    model = ("--model", assets.model, *SMALL)
    generate = ("generate", "--prompt", "a bar", *model, "--steps", "1", "--out", "out.gif")
    return {
        "inspect": ("inspect", assets.motion),
        "read": ("read", assets.clip, "--out", "out.safetensors"),
        "find": ("find", assets.clip, assets.folder),
        "evaluate": ("evaluate", assets.clip, assets.clip),
        "edit": ("edit", assets.motion, "--mirror", "horizontal", "--out", "out.safetensors"),
        "convert": ("convert", assets.published, "out.safetensors"),
        "demo": ("demo", "--model", NOWHERE, "--out", "out"),
        "benchmark motion": ("benchmark", "motion", "--model", NOWHERE, "--out", "out"),
        "benchmark edits": ("benchmark", "edits", "--model", NOWHERE, "--out", "out"),
        "train folder": ("train", assets.clips, *model, "--steps", "1", "--out", "out"),
        "train": ("train", assets.clip, "--prompt", "a bar", *model, "--steps", "1", "--out", "out.safetensors"),
        "imagine": ("imagine", "--prompt", "a", "--model", assets.images, "--steps", "1", "--out", "out.gif", *IMAGES),
        "generate": (*generate, "--motion", assets.motion),
        "generate reference": (
            *generate,
            "--motion",
            assets.motion,
            "--reference",
            assets.clip,
            "--noise-weight",
            "0.5",
        ),
    }


def case(seed: int, folder: Path, assets: Assets) -> Case:
    """A good call with one to three more options, each with a value that is bad, or that belongs elsewhere."""
    chance = random.Random(f"command lines {seed}")
    good = commands(assets)
    name = chance.choice(sorted(good))
    argv = list(good[name])
    actions = options_of(*argv[: 2 if argv[0] == "benchmark" else 1])
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        action = chance.choice(actions)
        values = values_of(chance, action)
        if not action.option_strings:
            argv[1:2] = values[:1]
        elif len(values) == 1 and chance.random() < 0.9:
            argv.append(f"{action.option_strings[0]}={values[0]}")  # else a value with a dash is an option
        else:
            argv += [action.option_strings[0], *values]
    # A benchmark keeps what it drew of its clips, and a clip of a folder that was learned is kept when another fails.
    leaves = ("*",) if name in ("benchmark motion", "benchmark edits", "train folder") else ()
    if chance.random() < 0.1:
        argv.insert(chance.randrange(len(argv)), chance.choice(TEXTS))
    if chance.random() < 0.05:
        del argv[chance.randrange(len(argv))]
    return Case(f"{name}, {' '.join(argv[len(good[name]) :])[:80]!a}", tuple(argv), writes=("*",), leaves=leaves)


@cache
def options_of(*words: str) -> list[argparse.Action]:
    parser: argparse.ArgumentParser = build_parser()
    for word in words:
        (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        parser = commands.choices[word]
    return [action for action in parser._actions if not isinstance(action, ACTIONS)]


def values_of(chance: random.Random, action: argparse.Action) -> list[str]:
    """As many values as the option takes, or nearly."""
    if action.nargs == 0:
        return []
    count = action.nargs if isinstance(action.nargs, int) else chance.choice((0, 1, 1, 2, 40)) if action.nargs else 1
    if action.dest == "dtype":
        return [chance.choice(("", "float8", "int8", "auto\0", *DTYPES[:2]))]
    if action.choices and chance.random() < 0.3:
        return [str(chance.choice(list(action.choices))) for _ in range(count)]
    kinds = {int: WHOLE, float: NUMBERS}
    # A text where a number is meant is refused at once: less is learned from it.
    known = kinds.get(action.type, TEXTS) if chance.random() < 0.9 else TEXTS
    return [chance.choice(known) for _ in range(count)]
