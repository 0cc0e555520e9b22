"""What an encoder of motion codes is made of: everything that its file has to say so that it can be built again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import MotionError, shown
from .inputs import INPUTS

GROUPS = ("object", "camera")  # the token groups of a code, in their order
# What the heads read off the codes of a group, and in how many numbers a frame.
TRUTHS: dict[str, dict[str, int]] = {
    "object": {"path": 2, "scale": 1, "angle": 1},
    "camera": {"camera": 4},  # where it looks, x and y, ln zoom, roll
}


@dataclass(frozen=True)
class Design:
    """A code is `[frames, groups, width]`: a token of `width` numbers for every frame and group. The defaults are those
    of the bundled encoder.

    Raises:
        MotionError: a value is out of range; the sentence names the field.
    """

    inputs: str = "frame_pairs"
    """What the encoder sees of a clip (see inputs.py)."""
    encoder: str = "transformer"
    """How the encoder is built (see encoders.py)."""
    frames: int = 16
    """Frames of the clips, and tokens of every group."""
    width: int = 64
    """Numbers of a token."""
    hidden: int = 128
    """Width of the encoder's and the decoder's own features."""
    depth: int = 2
    """Blocks of the encoder."""
    heads: int = 4
    """Attention heads of every block."""
    places: int = 8
    """Places along each side of the grid on which the encoder looks at a frame."""
    rank: int = 32
    """The rank of the tensors that the decoder makes."""
    described: int = 64
    """Length of the vector by which motions are compared with each other and with words."""

    def __post_init__(self) -> None:
        for name in ("inputs", "encoder"):
            if not isinstance(getattr(self, name), str):
                raise MotionError(f"{name} is {shown(getattr(self, name), 60)}, but it must be a text.")
        if self.inputs not in INPUTS:
            raise MotionError(f"inputs is '{shown(self.inputs, 60)}', but it must be one of {', '.join(INPUTS)}.")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and not (type(value) is int and 1 <= value <= 4096):
                raise MotionError(f"{field.name} is {shown(value, 60)}, but it must be a whole number from 1 to 4096.")
        if self.hidden % self.heads:
            raise MotionError(f"hidden is {self.hidden}, but it must be a multiple of heads, {self.heads}.")
        if not math.log2(self.places).is_integer():
            raise MotionError(f"places is {self.places}, but it must be a power of two.")

    def recorded(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Design:
        """Raises MotionError for fields that this version does not know."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise MotionError(f"The design has the field {shown(unknown[0], 60)}, which this library does not know.")
        return cls(**values)
