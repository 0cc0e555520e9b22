"""What a motion file says of itself, as the records Origin and Advice, and back.

It comes from anywhere, and is checked here alone. A field that makes no sense is refused with its name, since a file
with one is damaged or means to do harm; a field that is not known is kept as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import MotionError, shown, well_formed
from ..method.patch import DEBIAS
from ..method.records import FARTHEST, LOOPS, MIRRORS, ZOOM, Advice, Edit, Origin

DEPTH = 200  # levels of lists and objects; every joining of two motions adds three
EDITS = 1000
FASTEST = 1_000_000  # frames per second
LONGEST_VECTOR = 4096
STRONGEST = 1000  # of a strength, in either direction
# How an embedding was learned, by the fields of TrainingSettings of every version: files have them beside the others.
SETTINGS = (
    "loss",
    "learning_rate",
    "lr_schedule",
    "timesteps",
    "timestep_bias",
    "train_debias",
    "motion_mask",
    "steps",
    "seed",
    "final_rate",
    "velocity_weight",
    "velocity_cap",
    "betas",
    "weight_decay",
    "eps",
    "clip",
    "expert",
    "picture",
)


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


def list_of(kind: Field, words: str) -> Field:
    return Field(lambda v: isinstance(v, list) and all(map(kind.fits, v)), f"a list of {words}")


TEXT = Field(lambda v: isinstance(v, str), "a text")
YES_OR_NO = Field(lambda v: isinstance(v, bool), "true or false")
SHARE = number(0, 1)
ANY_NUMBER = number(-1e300, 1e300)
COUNT = Field(
    lambda v: _is_number(v) and isinstance(v, int) and 0 <= v < 1 << 63, "a whole number that is not negative"
)
POSITIVE = Field(lambda v: _is_number(v) and 0 < v <= FASTEST, f"a number above 0, at most {FASTEST}")
SPOT = number(-FARTHEST, FARTHEST)
PLACE = Field(lambda v: isinstance(v, list) and len(v) in (0, 3) and all(map(SPOT.fits, v)), "three numbers, or none")
TEXTS = Field(lambda v: isinstance(v, dict) and all(map(TEXT.fits, v.values())), "an object of texts")
VECTOR = Field(
    lambda v: isinstance(v, list) and len(v) <= LONGEST_VECTOR and all(map(number(-1.01, 1.01).fits, v)),
    f"a list of at most {LONGEST_VECTOR} numbers from -1 to 1",
)
READING: dict[str, Field] = {  # what an encoder of motion codes read of the clip
    "by": TEXT,
    "distance": number(0, 1e6),
    "words": TEXTS,
    **dict.fromkeys(("object", "camera"), VECTOR),
}

FIELDS: dict[str, Field] = {
    **dict.fromkeys(("title", "author", "description", "license", "date", "thumbnail"), TEXT),
    **dict.fromkeys(("preset", "model", "prompt", "source"), TEXT),
    **dict.fromkeys(("clip_sha256", "mask_sha256", "model_sha256"), TEXT),
    "input_hashes": TEXTS,
    "fps": POSITIVE,
    **dict.fromkeys(("width", "height", "steps", "trained_steps", "stored_frames", "trained_frames"), COUNT),
    "scored_by": list_of(TEXT, "texts"),
    **dict.fromkeys(("final_loss", "score"), ANY_NUMBER),
    "losses": list_of(ANY_NUMBER, "numbers"),
    **dict.fromkeys(("source_file", "source_sha256", "source_format", "started_from"), TEXT),
    "grid_guessed": YES_OR_NO,
    **dict.fromkeys(("starts_at", "ends_at"), PLACE),
    "reading": Field(lambda v: isinstance(v, dict), "an object of what was read"),
}
APPLY: dict[str, Field] = {
    **dict.fromkeys(("strength_qk", "strength_v"), number(-STRONGEST, STRONGEST)),
    "debias": one_of(DEBIAS),
    **dict.fromkeys(("start", "end", "noise_weight", "camera_end", "objects"), SHARE),
}
MADE_FROM: dict[str, dict[str, Field]] = {  # what `follow` repeats: the edit's name, and its arguments
    "mirror": {"axis": one_of(MIRRORS)},
    "reverse": {},
    "retime": {"speed": POSITIVE},
    "loop": {"how": one_of(LOOPS)},
    "place": {**dict.fromkeys(("right", "down"), number(-1, 1)), "zoom": number(1 / ZOOM, ZOOM)},
}


def read_details(details: Mapping[str, Any]) -> tuple[Origin, Advice]:
    """The records that a file's details are, with all texts in well-formed Unicode.

    Raises MotionError, naming the field, for a value that is not what the field is for.
    """
    found = _sound(details)
    order = tuple(found)
    apply = found.pop("apply", {})
    if not isinstance(apply, dict):
        raise _wrong("apply", apply, "an object of settings")
    _check("apply.", apply, APPLY)
    _check("", found, FIELDS)
    _check("reading.", found.get("reading", {}), READING)
    edits = _edits(found.pop("made_from", []))
    settings = {name: found.pop(name) for name in order if name in SETTINGS}
    known = {name: found.pop(name) for name in FIELDS.keys() & found.keys()}
    for name in ("losses", "scored_by", "starts_at", "ends_at"):
        known[name] = tuple(known.get(name, ()))
    origin = Origin(**known, settings=settings, made_from=edits, others=found, order=order)
    said = {name: apply[name] for name in APPLY if name in apply}
    others = {name: value for name, value in apply.items() if name not in APPLY}
    return origin, Advice(**said, others=others, order=tuple(apply))


def written_details(origin: Origin, advice: Advice) -> dict[str, Any]:
    """The same in the values of JSON: first what was found in a file, in the file's order, then the rest."""
    said = origin.said()
    settings = said.pop("settings", {})
    edits = [edit.written() for edit in said.pop("made_from", ())]
    found: dict[str, Any] = {**said, **settings, **origin.others}
    collections = {
        "losses": list(origin.losses),
        "scored_by": list(origin.scored_by),
        "starts_at": list(origin.starts_at),
        "ends_at": list(origin.ends_at),
        "input_hashes": dict(origin.input_hashes),
        "reading": dict(origin.reading),
        "apply": _in_order(advice.order, {**advice.said(), **advice.others}),
        "made_from": edits,
    }
    found |= {name: value for name, value in collections.items() if value or name in origin.order}
    return _in_order(origin.order, found)


def checked(origin: Origin, advice: Advice) -> tuple[Origin, Advice]:
    """The same as a file would give them back.

    Raises MotionError, naming the field, for what could not be written.
    """
    return read_details(written_details(origin, advice))


def _in_order(order: tuple[str, ...], found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in order if name in found} | found


def _edits(steps: Any) -> tuple[Edit, ...]:
    if not isinstance(steps, list) or len(steps) > EDITS:
        raise _wrong("made_from", steps, f"a list of at most {EDITS} edits")
    edits = []
    for i, step in enumerate(steps):
        if not isinstance(step, dict) or not isinstance(step.get("edit"), str):
            raise _wrong(f"made_from[{i}]", step, "an object with the name of an edit")
        for name, kind in MADE_FROM.get(step["edit"], {}).items():
            if not kind.fits(step.get(name)):
                raise _wrong(f"made_from[{i}].{name}", step.get(name), kind.words)
        edits.append(Edit(step["edit"], {name: value for name, value in step.items() if name != "edit"}))
    return tuple(edits)


def _check(where: str, values: Mapping[str, Any], known: Mapping[str, Field]) -> None:
    for name, kind in known.items():
        if name in values and not kind.fits(values[name]):
            raise _wrong(where + name, values[name], kind.words)


def _wrong(name: str, value: Any, words: str) -> MotionError:
    return MotionError(f"details.{name} is {shown(value, 60)}, but it should be {words}.")


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
