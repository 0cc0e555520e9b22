"""A record of tensors that share their first dimension, the clips of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import Tensor

Record = TypeVar("Record", bound="Batch")


class Batch:
    """Base of dataclasses whose fields are tensors `[b, ...]` or records of such."""

    def _map(self: Record, change) -> Record:
        return type(self)(**{name: change(value) for name, value in self._items()})

    def _items(self) -> Iterator[tuple[str, Any]]:
        return ((f.name, getattr(self, f.name)) for f in fields(self))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(next(self._items())[1])

    def __getitem__(self: Record, index) -> Record:
        """Some of the clips. An index tensor may be on the CPU: it is sent to where each value is."""
        if not isinstance(index, Tensor):
            return self._map(lambda value: value[index])
        sent = {index.device: index}

        def pick(value):
            if isinstance(value, Batch):
                return value[index]
            if value.device not in sent:
                sent[value.device] = index.to(value.device, non_blocking=True)
            return value[sent[value.device]]

        return self._map(pick)

    def to(self: Record, device: torch.device | str) -> Record:
        """What is drawn goes to the device; labels (integers) stay on the CPU, so that grouping never waits for it."""
        return self._map(lambda v: v.to(device) if isinstance(v, Batch) or v.is_floating_point() else v)


def concatenate(parts: list[Record]) -> Record:
    first = parts[0]
    values = {}
    for name, value in first._items():
        column = [getattr(part, name) for part in parts]
        values[name] = concatenate(column) if isinstance(value, Batch) else torch.cat(column)
    return type(first)(**values)


def groups(labels: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Each label that occurs, with the indices of its clips; labels and indices are on the CPU."""
    for label in labels.unique().tolist():
        yield label, (labels == label).nonzero()[:, 0]
