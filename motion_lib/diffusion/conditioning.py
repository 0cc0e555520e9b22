"""What a model is told to draw, for any number of videos.

Most models take text embeddings `[b, tokens, width]` and nothing else: a Tensor. A model that takes more, such as the
first frame, has a `Conditioning` with a name for each part. Both can be joined, and indexed by video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import MotionError

PICTURE = "picture"  # the part with a given first frame, as the model's codec makes it


@dataclass(frozen=True)
class Conditioning:
    """text: `[b, tokens, width]`. parts: tensors of b rows by name, as the model's family names them."""

    text: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, part in self.parts.items():
            if len(part) != len(self.text):
                raise MotionError(
                    f"The conditioning's {name} is for {len(part)} videos, but its text is for {len(self.text)}."
                )

    def __len__(self) -> int:
        return len(self.text)

    def to(self, device: torch.device) -> Conditioning:
        return Conditioning(self.text.to(device), {name: part.to(device) for name, part in self.parts.items()})

    def __getitem__(self, videos: slice) -> Conditioning:
        return Conditioning(self.text[videos], {name: part[videos] for name, part in self.parts.items()})


def joined(conditionings: Sequence[Any]) -> Any:
    """One conditioning, a Tensor or a Conditioning as they are, for the videos of all of them in order.

    Raises MotionError when they do not have the same parts.
    """
    first = conditionings[0]
    if isinstance(first, Tensor):
        return torch.cat(list(conditionings))
    names = {tuple(sorted(each.parts)) for each in conditionings}
    if len(names) > 1:
        raise MotionError(f"Conditionings with different parts cannot be joined: {sorted(names)}.")
    parts = {name: torch.cat([each.parts[name] for each in conditionings]) for name in first.parts}
    return Conditioning(torch.cat([each.text for each in conditionings]), parts)
