"""What the layers of a model see of the call under way, where the model hands them no arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..method.patch import PreparedPatch


class Context:
    """The patches of the call under way, and the number of frames of its latents."""

    def __init__(self) -> None:
        self.patches: tuple[PreparedPatch, ...] = ()
        self.frames = 0

    @contextmanager
    def holding(self, patches: Sequence[PreparedPatch], frames: int) -> Iterator[None]:
        before = self.patches, self.frames
        self.patches, self.frames = tuple(patches), frames
        try:
            yield
        finally:
            self.patches, self.frames = before
