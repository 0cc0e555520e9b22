"""Find motions in a folder of embedding files, by likeness or by words.

Files are compared by what was read of their clips, which `read` writes into them, and `train` as well for models that
an encoder comes with.

examples:
  motion-inversion find dance.mp4 motions/
  motion-inversion find motion.safetensors motions/ --group camera
  motion-inversion find motions/ --text "hops to the right\""""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MotionError, shown
from .common import add_clip_arguments, add_json, pick_device, say, show
from .read import add_codes_argument, clip_for, latents_for

if TYPE_CHECKING:
    from ..method.records import Origin

GROUPS = ("both", "object", "camera")
MOST_FILES = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "places",
        metavar="[VIDEO|FILE.safetensors] FOLDER",
        nargs="+",
        help="A clip, or a file that holds a motion, to find the like of; then the folder to look in.",
    )
    parser.add_argument(
        "--text", help='Words that say the motion, instead of a clip: "circles clockwise, camera pans".'
    )
    parser.add_argument(
        "--group", default="both", choices=GROUPS, help="Whose motion counts: the object's, the camera's, or both."
    )
    parser.add_argument("--top", type=int, default=10, metavar="N", help="How many to list (default: 10).")
    add_codes_argument(parser)
    parser.add_argument("--device", default="auto", help="The device: auto, cpu, cuda, cuda:1 or mps (default: auto).")
    add_clip_arguments(parser, "what the encoder's model makes")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    from ..codes.from_clip import reader_of
    from ..codes.likeness import by_motion, by_words, recorded
    from ..codes.looks import read_clip, redrawn_by_own_model

    *given, folder = options.places
    if len(given) > 1:
        raise MotionError(f"find was given {len(options.places)} paths: give one clip or file, and one folder.")
    if bool(given) == (options.text is not None):
        raise MotionError("Say what to find: either a clip or a file before the folder, or words with --text.")
    if options.top < 1:
        raise MotionError(f"--top is {options.top}, but it must be at least 1.")
    files = list(files_in(Path(folder)))
    reader = reader_of(options.codes, pick_device(options.device))
    if options.text is not None:
        found = by_words(reader, options.text, files)
    else:
        if given[0].endswith(".safetensors"):
            asked = origin_in(Path(given[0])).reading
            if not asked:
                raise MotionError(f"{shown(given[0])} does not say how its clip moves: give the clip instead.")
        else:
            clip = clip_for(reader, options, given[0])
            latents, redraw = latents_for(reader, clip), redrawn_by_own_model(reader)
            reading = read_clip(reader, clip.frames, latents=latents, redraw=redraw)
            if reading.warning:
                say(f"{clip.source}: {reading.warning}")
            asked = recorded(reader, reading)
        found = by_motion(reader, asked, files, options.group)
    comparable = [each for each in found if each.likeness is not None]
    others = [each for each in found if each.likeness is None]
    result: dict[str, Any] = {
        "found": [{"file": f.name, "likeness": f.likeness, "words": f.words} for f in comparable[: options.top]],
        "not_compared": [{"file": f.name, "why": f.why} for f in others],
    }
    lines = [f"{f.likeness:6.3f}  {f.name}  {f.words}" for f in comparable[: options.top]]
    if not comparable:
        lines.append("No file there says how its clip moves: write some with read, or train them with this version.")
    lines += [f"     –  {f.name}  ({f.why})" for f in others[: options.top]]
    show(result, options.json, lines)


def files_in(folder: Path) -> Iterator[tuple[str, Origin]]:
    """Names and origins of the embedding files in a folder and those inside it; files of other kinds are passed over.

    Raises MotionError for what is no folder, or one of too many files.
    """
    if not folder.is_dir():
        raise MotionError(f"{shown(str(folder))} is not a folder: give the one in which the embedding files are.")
    paths = sorted(path for path in folder.rglob("*.safetensors") if path.is_file())
    if len(paths) > MOST_FILES:
        raise MotionError(f"{shown(str(folder))} holds {len(paths)} files, but at most {MOST_FILES} are looked at.")
    for path in paths:
        try:
            yield path.relative_to(folder).as_posix(), origin_in(path)
        except MotionError:
            continue


def origin_in(path: Path) -> Origin:
    """What a file's header says. Raises MotionError for a file that is no sound embedding."""
    from ..files.embedding_file import FORMAT, described, header_in

    return described(path.name, header_in(path), FORMAT).origin
