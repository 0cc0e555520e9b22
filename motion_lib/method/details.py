"""What a motion file says of itself, beside the tensors: who made it, of what, and how to apply it.

It comes from anywhere. So it is checked once, where it is read, and again before it is written; everything behind that
takes `MotionEmbedding.details` at its word. A field that makes no sense is refused with its name, since a file with one
is damaged or means to do harm; a field that is not known is kept as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import MotionError, shown, well_formed
from .patch import DEBIAS

DEPTH = 200  # levels of lists and objects; every joining of two motions adds three
EDITS = 1000
FASTEST = 1_000_000  # frames per second
STRONGEST = 1000  # of a strength, in either direction
MIRRORS = {"horizontal": 1, "vertical": 0}  # the axis of the grid (h, w) that is turned around
LOOPS = ("there_and_back", "close")


@dataclass(frozen=True)
class Field:
    """What the value of a field has to be: a test, and how to say it."""

    fits: Callable[[Any], bool]
    words: str


def number(low: float, high: float) -> Field:
    # Whole numbers of thousands of digits can be compared with others, and not converted to them.
    return Field(lambda v: _is_number(v) and low <= v <= high, f"a number from {low:g} to {high:g}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def one_of(choices: Mapping[str, Any] | tuple[str, ...]) -> Field:
    return Field(lambda v: isinstance(v, str) and v in choices, f"one of {', '.join(choices)}")


TEXT = Field(lambda v: isinstance(v, str), "a text")
SHARE = number(0, 1)
COUNT = Field(
    lambda v: _is_number(v) and isinstance(v, int) and 0 <= v < 1 << 63, "a whole number that is not negative"
)
POSITIVE = Field(lambda v: _is_number(v) and 0 < v <= FASTEST, f"a number above 0, at most {FASTEST}")
NUMBERS = Field(lambda v: isinstance(v, list) and all(map(number(-1e300, 1e300).fits, v)), "a list of numbers")

FIELDS: dict[str, Field] = {
    **dict.fromkeys(("title", "author", "description", "license", "date", "thumbnail"), TEXT),
    **dict.fromkeys(("preset", "model", "prompt", "source"), TEXT),
    **dict.fromkeys(("steps", "trained_steps", "width", "height", "stored_frames", "trained_frames"), COUNT),
    "fps": POSITIVE,
    "score": number(-1e300, 1e300),
    "losses": NUMBERS,
}
APPLY: dict[str, Field] = {  # how to apply it: see MotionPatch, and Preset for the last three
    **dict.fromkeys(("strength_qk", "strength_v"), number(-STRONGEST, STRONGEST)),
    "debias": one_of(DEBIAS),
    **dict.fromkeys(("start", "end", "noise_weight", "camera_end", "objects"), SHARE),
}
MADE_FROM: dict[str, dict[str, Field]] = {  # what `follow` repeats: the edit's name, and its arguments
    "mirror": {"axis": one_of(MIRRORS)},
    "reverse": {},
    "retime": {"speed": POSITIVE},
    "loop": {"how": one_of(LOOPS)},
}


def checked(details: Mapping[str, Any]) -> dict[str, Any]:
    """The same details, in well-formed Unicode.

    Raises MotionError, naming the field, for a value that is not what the field is for.
    """
    found = _sound(details)
    _check("", found, FIELDS)
    apply = found.get("apply", {})
    if not isinstance(apply, dict):
        raise _wrong("apply", apply, "an object of settings")
    _check("apply.", apply, APPLY)
    steps = found.get("made_from", [])
    if not isinstance(steps, list) or len(steps) > EDITS:
        raise _wrong("made_from", steps, f"a list of at most {EDITS} edits")
    for i, step in enumerate(steps):
        if not isinstance(step, dict) or not isinstance(step.get("edit"), str):
            raise _wrong(f"made_from[{i}]", step, "an object with the name of an edit")
        for name, field in MADE_FROM.get(step["edit"], {}).items():
            if not field.fits(step.get(name)):
                raise _wrong(f"made_from[{i}].{name}", step.get(name), field.words)
    return found


def _check(where: str, values: Mapping[str, Any], fields: Mapping[str, Field]) -> None:
    for name, field in fields.items():
        if name in values and not field.fits(values[name]):
            raise _wrong(where + name, values[name], field.words)


def _wrong(field: str, value: Any, words: str) -> MotionError:
    return MotionError(f"details.{field} is {shown(value, 60)}, but it should be {words}.")


def _sound(value: Any, depth: int = 0) -> Any:
    """A copy with well-formed texts."""
    if depth > DEPTH:
        raise MotionError(f"details is nested more than {DEPTH} levels deep, which no file needs.")
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, Mapping):
        return {well_formed(str(key)): _sound(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_sound(entry, depth + 1) for entry in value]
    return value
