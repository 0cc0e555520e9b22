"""A library of motions: one file for every video of a folder, by one process or by several that share them."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MotionError, shown, well_formed
from ..files.claims import Claimed, claimed
from ..files.embedding_file import load_embedding
from ..files.reading import regular_file
from ..training.identity import difference
from ..video.look import STAND_INS
from .common import load, say, show
from .task import check_places, learn_one, task_of

if TYPE_CHECKING:
    from ..backbones import VideoModel

# What accelerate's launcher and torchrun tell a process, and what helps where they did not.
WORLD = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
UNSET = f"start with accelerate launch or torchrun, or unset {', '.join(WORLD)}."
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".flv", ".gif", ".apng")


def clips_in(folder: Path) -> list[Path]:
    """The videos and the folders of images in a folder, by name; none if it is no folder, or holds images itself and so
    is one clip."""
    from ..video.sources import IMAGE_SUFFIXES

    def images(place: Path) -> bool:
        return any(f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".") for f in place.iterdir())

    if not folder.is_dir() or images(folder):
        return []
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return [entry for entry in entries if entry.suffix.lower() in VIDEOS or (entry.is_dir() and images(entry))]


def prompts_of(clips: Sequence[Path], table: Path | None, otherwise: str | None) -> dict[Path, str | None]:
    """What each clip shows: as the table has it by file name, else the text file beside it, else `otherwise`.

    Raises MotionError for a table that cannot be read, or that names a file which is not there.
    """
    listed = {} if table is None else read_table(table)
    if unknown := sorted(set(listed) - {clip.name for clip in clips}):
        raise MotionError(
            f"{shown(str(table))} names {shown(unknown[0])}, which is not in the folder: correct the file name."
        )
    prompts = {}
    for clip in clips:
        beside = clip.with_suffix(".txt")
        written = read_prompt(beside) if beside.is_file() else ""
        prompts[clip] = listed.get(clip.name) or written or otherwise
    return prompts


def read_prompt(path: Path) -> str:
    """Raises MotionError for a text that cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise MotionError(f"{shown(str(path))} cannot be read as text in UTF-8 ({shown(str(error))}).") from error


def read_table(path: Path) -> dict[str, str]:
    """Prompts by file name: CSV with columns file and prompt, or a JSON object. Raises MotionError for others."""
    regular_file(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            entries = json.loads(text)
        else:
            entries = {row["file"]: row["prompt"] for row in csv.DictReader(text.splitlines())}
    except (OSError, ValueError, KeyError, RecursionError, csv.Error) as error:
        raise MotionError(
            f"{shown(str(path))} could not be read as a table of prompts ({shown(str(error))}): give CSV with the "
            "columns file and prompt, or JSON that maps file names to prompts."
        ) from error
    texts = [*entries, *entries.values()] if isinstance(entries, dict) else [None]
    if not all(isinstance(text, str) and well_formed(text) == text for text in texts):
        raise MotionError(f"{shown(str(path))} must map file names to prompts, both as texts.")
    return entries


def files_of(clips: Sequence[Path], out: Path) -> dict[Path, Path]:
    """The file for each clip: its name with .safetensors, the whole name where two differ only in their ending."""
    stems = Counter(clip.stem for clip in clips)
    return {clip: out / f"{clip.stem if stems[clip.stem] == 1 else clip.name}.safetensors" for clip in clips}


def process_of(environment: Mapping[str, str]) -> tuple[int, int, int]:
    """(number, of how many, number on this machine) of this process, as accelerate's launcher and torchrun say it.

    Raises MotionError where that cannot be: some videos would be nobody's.
    """
    found: dict[str, int] = {}
    for name in WORLD:
        value = environment.get(name)
        try:
            found |= {} if value is None else {name: int(value)}
        except ValueError:
            raise MotionError(
                f"The environment variable {name} is '{value:.60}', not a whole number: {UNSET}"
            ) from None
    rank, count = found.get("RANK", 0), found.get("WORLD_SIZE", 1)
    local = found.get("LOCAL_RANK", rank)
    if not (0 <= rank < count and local >= 0):
        named = ", ".join(f"{name} {value}" for name, value in found.items())
        raise MotionError(f"The environment variables {named} do not name a process of a group: {UNSET}")
    return rank, count, local


def learn_all(options: argparse.Namespace, clips: Sequence[Path]) -> None:
    """Learn every clip that is this process's, and that is not learned yet. A clip that fails does not stop the rest.

    Raises MotionError at the end when some failed, and at once for what would fail with all of them.
    """
    if options.mask:
        raise MotionError("--mask belongs to one video: train that video by itself.")
    if options.prompt and len(options.prompt) > 1:
        raise MotionError("A folder of videos takes one --prompt for all, text files beside them, or --prompts.")
    if options.out.suffix == ".safetensors" or options.out.is_file():
        raise MotionError(f"--out {options.out} must be a folder, because {options.video[0]} is a folder of videos.")
    prompts = prompts_of(clips, options.prompts, options.prompt[0] if options.prompt else None)
    rank, count, local = process_of(os.environ)
    files = files_of(clips, options.out)
    check_places(files[clips[0]])
    if options.device in ("auto", "cuda") and count > 1:
        import torch

        options.device = f"cuda:{local}" if torch.cuda.device_count() > local else "cpu"
    model = load(options)
    done: dict[str, str] = {}
    for number, clip in enumerate(clips[rank::count], start=1):
        say(f"[{number}/{len(clips[rank::count])}] {clip.name}")
        try:
            done[clip.name] = _learn(options, model, clip, prompts[clip], files[clip])
        except Claimed as error:
            done[clip.name] = f"is being learned by {error.holder}"
            say(done[clip.name])
        except (MotionError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "out of memory" not in str(error):
                raise
            done[clip.name] = f"failed: {error}".splitlines()[0]
            say(done[clip.name])
    where = "" if count == 1 else f"process {rank} of {count}: "
    lines = [f"{where}{name}: {what}" for name, what in done.items()]
    show({"clips": done, "out": str(options.out), "process": rank}, options.json, lines)
    sys.stdout.flush()
    if failed := [name for name, what in done.items() if what.startswith("failed")]:
        raise MotionError(f"{where}{len(failed)} of {len(done)} videos were not learned: {', '.join(failed)}.")


def _learn(options: argparse.Namespace, model: VideoModel, clip: Path, prompt: str | None, out: Path) -> str:
    """What became of one clip, in words. Raises MotionError when the file that is there was made from something else,
    or in another way."""
    from .learning import checkpoint_of

    if not prompt and options.look != STAND_INS:
        raise MotionError(f"nothing says what it shows: write that to {clip.with_suffix('.txt').name} beside it.")
    check_places(out)
    with claimed(out):  # before looking at what is there, because another process may just have learned it
        task = task_of(options, model, [str(clip)], [prompt or ""])
        unfinished = checkpoint_of(out).is_file()
        if out.is_file() and not unfinished:
            if field := difference(load_embedding(out), task.start):
                raise MotionError(
                    f"{out.name} is there already, from a run that differs in its {field}: give another --out, or "
                    f"delete the file."
                )
            return "was learned before"
        summary, steps = learn_one(options, model, task, out, resume=unfinished)
    return f"{out.name}, {summary['bytes'] / 1e6:.2f} MB, {steps} steps"
