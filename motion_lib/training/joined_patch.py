"""Many embeddings as one patch, in a batch that has a video for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TypeVar

import torch
from torch import Tensor

from ..errors import MotionError
from ..method.patch import PreparedPatch

Key = TypeVar("Key")


def joined_patch(patches: Sequence[PreparedPatch], grids: Mapping[str, tuple[int, int]]) -> PreparedPatch:
    """A patch with rows for every video, of one for each. grids: of all patched layers. Raises MotionError for patches
    that join the features in different ways, or act in different experts."""
    if len({patch.integration for patch in patches}) > 1:
        raise MotionError("Embeddings that are learned together must have one integration.")
    if len({patch.expert for patch in patches}) > 1:
        raise MotionError("Embeddings that are learned together must be learned by one expert.")
    return PreparedPatch(
        _joined([patch.query_key for patch in patches], lambda layer: prod(grids[layer])),
        _joined([patch.value for patch in patches], lambda key: prod(grids[key[0]])),
        patches[0].integration,
        patches[0].expert,
    )


def _joined(parts: Sequence[Mapping[Key, Tensor]], positions: Callable[[Key], int]) -> dict[Key, Tensor]:
    """`[videos · positions, f, c]` of every layer; nothing for a video whose embedding has none there."""
    keys = list(dict.fromkeys(key for part in parts for key in part))
    some = {key: m for part in parts for key, m in part.items()}
    return {
        key: torch.cat([part.get(key, torch.zeros_like(some[key])).expand(positions(key), -1, -1) for part in parts])
        for key in keys
    }
