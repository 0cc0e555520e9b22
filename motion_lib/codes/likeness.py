"""What a file keeps of a reading, so that motions can be compared later without their clips, and the comparing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import MotionError, shown
from ..method.records import Origin
from .design import GROUPS
from .reader import Reader, Reading
from .words import WORDS, said_in

DIGITS = 4
BOTH = "both"
OF_GROUPS = (BOTH, *GROUPS)


def recorded(reader: Reader, reading: Reading) -> dict[str, Any]:
    """Of a reading, in the values of JSON, for `Origin.reading`: the encoder, the vectors and the words of both groups,
    and the distance from what the encoder has seen."""
    return {
        "by": reader.name,
        "distance": round(reading.distance, DIGITS),
        "words": reader.words(reading),
        **{group: [round(value, DIGITS) for value in reading.vectors[group].tolist()] for group in GROUPS},
    }


@dataclass(frozen=True)
class Found:
    """How alike a file's motion is to what was asked for, from −1 to 1; likeness None where it cannot be compared, and
    why. words: what the file says of its motion."""

    name: str
    likeness: float | None
    words: str = ""
    why: str = ""


def by_motion(reader: Reader, asked: Mapping[str, Any], files: Iterable[tuple[str, Origin]], of: str) -> list[Found]:
    """Files in the order of their likeness to a motion, by what is recorded of both: the cosine between their vectors
    of this group, or the mean of both groups'."""
    groups = GROUPS if of == BOTH else (of,)
    wanted = vectors_of(asked, reader)
    if wanted is None:
        raise MotionError("What should be looked for was not read by this encoder: give its clip instead of its file.")

    def likeness(own: Mapping[str, Tensor], words: Mapping[str, str]) -> float:
        return sum(float(wanted[group] @ own[group]) for group in groups) / len(groups)

    return _ranked(reader, files, likeness)


@torch.no_grad()
def by_words(reader: Reader, text: str, files: Iterable[tuple[str, Origin]]) -> list[Found]:
    """Files in the order in which a sentence suits their motion: the share of its words that were read of it counts
    first, then the words beyond these, then how near its vectors are to the sentence's.

    Raises MotionError for a sentence that says no word of a motion.
    """
    asked = {group: chosen for group, chosen in said_in(text).items() if bool(chosen.any())}
    if not asked:
        known = "; ".join(f"of the {group}: {', '.join(words)}" for group, words in WORDS.items())
        raise MotionError(f"'{shown(text, 80)}' says nothing of a motion; the words known are, {known}.")
    near = {group: reader.codes.said(group, chosen[None])[0] for group, chosen in asked.items()}
    count = sum(float(chosen.sum()) for chosen in asked.values())

    def likeness(own: Mapping[str, Tensor], words: Mapping[str, str]) -> float:
        true = {group: _chosen(words.get(group, ""), group) for group in asked}
        right = sum(float((true[group] * chosen).sum()) for group, chosen in asked.items()) / count
        more = sum(float((true[group] * (1 - chosen)).sum()) for group, chosen in asked.items())
        vectors = sum(float(near[group] @ own[group]) for group in asked) / len(asked)
        return 0.9 * right - 0.01 * more + 0.005 * vectors

    return _ranked(reader, files, likeness)


def vectors_of(record: Mapping[str, Any], reader: Reader) -> dict[str, Tensor] | None:
    """The unit vectors of a record; None where there are none that this encoder made."""
    if record.get("by") != reader.name:
        return None
    found = {group: torch.tensor(record.get(group) or [], dtype=torch.float32) for group in GROUPS}
    if any(vector.shape != (reader.codes.design.described,) for vector in found.values()):
        return None
    return {group: vector / vector.norm().clamp(min=1e-6) for group, vector in found.items()}


def _ranked(reader: Reader, files: Iterable[tuple[str, Origin]], likeness: Any) -> list[Found]:
    comparable: list[Found] = []
    others: list[Found] = []
    for name, origin in files:
        own, words = vectors_of(origin.reading, reader), origin.reading.get("words", {})
        text = spoken(words)
        if own is not None:
            comparable.append(Found(name, round(likeness(own, words), DIGITS), text))
        elif origin.made_from:
            others.append(Found(name, None, why="it was edited since its clip was read"))
        else:
            others.append(Found(name, None, why="its clip was not read by this encoder"))
    return [*sorted(comparable, key=lambda f: (-(f.likeness or 0), f.name)), *sorted(others, key=lambda f: f.name)]


def spoken(words: Mapping[str, str]) -> str:
    """Both groups' words as a sentence; words: of each group."""
    parts = [words.get("object", ""), f"camera {words['camera']}" if words.get("camera") else ""]
    return ", ".join(filter(None, parts))


def _chosen(words: str, group: str) -> Tensor:
    own: Sequence[str] = words.split()
    return torch.tensor([float(word in own) for word in WORDS[group]])
