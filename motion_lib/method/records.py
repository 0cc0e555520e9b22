"""What an embedding says of itself beside its tensors: where it comes from, and how it is to be applied.

Both records come from files that anybody may have written. files/details.py checks them where a file is read, and again
before one is written; everything else takes them at their word. None, or nothing in a tuple, means that a file does not
say it. What this version does not know is kept in `others`, and `order` has the names as the file had them, so that a
file which is read and written again says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

MIRRORS = {"horizontal": 1, "vertical": 0}  # the axis of the grid (h, w) that is turned around
LOOPS = ("there_and_back", "close")
ZOOM = 10.0  # times as large or as small
FARTHEST = 10.0  # shares of the picture, beyond which it is of no use to know where a thing is


@dataclass(frozen=True)
class Edit:
    """One of the steps that made an embedding of another: the name of a function of algebra.py, and its arguments."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def written(self) -> dict[str, Any]:
        """As files have it."""
        return {"edit": self.name, **self.arguments}


@dataclass(frozen=True, kw_only=True)
class Record:
    """others: fields that this version does not know, as they were found. order: the names of all fields in the order
    in which they were found, which two equal records need not share."""

    others: Mapping[str, Any] = field(default_factory=dict)
    order: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def said(self) -> dict[str, Any]:
        """Its own fields that say something, by name."""
        own = (entry.name for entry in fields(self) if entry.name not in ("others", "order"))
        return {name: value for name in own if (value := getattr(self, name)) not in (None, (), {})}


@dataclass(frozen=True, kw_only=True)
class Advice(Record):
    """How an embedding is to be applied; the fields are those of Application (see application.py), which completes what
    is missing."""

    strength_qk: float | None = None
    strength_v: float | None = None
    debias: str | None = None
    start: float | None = None
    end: float | None = None
    noise_weight: float | None = None
    camera_end: float | None = None
    objects: float | None = None


@dataclass(frozen=True, kw_only=True)
class Origin(Record):
    """Where an embedding comes from.

    title to thumbnail: for those who share it; the thumbnail is a data URI. preset to source: the names of preset and
    model, what the clip shows, and the name of the clip. clip_sha256, mask_sha256, model_sha256: of the clip's frames,
    of where it was learned, and of the model's weights. input_hashes: of what came into ComfyUI's node that learned it,
    by name. fps, width, height: of the clip; fps is the frame rate at which the motion has its own speed. starts_at,
    ends_at: where in the first and the last frame the thing is that moves, as a Place says it (see video/place.py).
    settings: how it was learned, as the TrainingSettings of that version had it, with lists for tuples. scored_by: the
    prompts of the videos by which it was chosen. trained_steps to score: how far the training came. source_file to
    grid_guessed: of an embedding that was converted (see convert.py). made_from: the edits since it was learned, in
    their order. reading: what an encoder of motion codes read of the clip (see codes/likeness.py). started_from: what
    training began with, if not with nothing.
    """

    title: str | None = None
    author: str | None = None
    description: str | None = None
    license: str | None = None
    date: str | None = None
    thumbnail: str | None = None
    preset: str | None = None
    model: str | None = None
    prompt: str | None = None
    source: str | None = None
    clip_sha256: str | None = None
    mask_sha256: str | None = None
    model_sha256: str | None = None
    input_hashes: Mapping[str, str] = field(default_factory=dict)
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    starts_at: tuple[float, ...] = ()
    ends_at: tuple[float, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    scored_by: tuple[str, ...] = ()
    trained_steps: int | None = None
    final_loss: float | None = None
    losses: tuple[float, ...] = ()
    score: float | None = None
    source_file: str | None = None
    source_sha256: str | None = None
    source_format: str | None = None
    stored_frames: int | None = None
    trained_frames: int | None = None
    grid_guessed: bool | None = None
    made_from: tuple[Edit, ...] = ()
    reading: Mapping[str, Any] = field(default_factory=dict)
    started_from: str | None = None

    @property
    def steps(self) -> int | None:
        """How many steps the training was meant to take."""
        return self.settings.get("steps")

    def merged(self, newer: Origin) -> Origin:
        """The same, with all that another one says in place of what this one says."""
        return replace(self, **newer.said(), others={**self.others, **newer.others})
