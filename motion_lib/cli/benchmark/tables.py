"""Tables as they come: rows of Markdown on the terminal, and numbers in a file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path


class Book:
    """All numbers, in a file if one is wanted, which is written anew after every entry."""

    def __init__(self, path: Path | None):
        self.path, self.entries = path, []

    def enter(self, kind: str, **numbers: object) -> None:
        self.entries.append({"kind": kind, **numbers})
        if self.path is not None:
            from ...files.atomic import replacing

            with replacing(self.path) as temporary:
                temporary.write_text(json.dumps(self.entries, indent=1), encoding="utf-8")


def row(cells: Iterable[object]) -> None:
    print(f"| {' | '.join(str(cell) for cell in cells)} |", flush=True)


def head(*names: str) -> None:
    row(names)
    row(["---"] * len(names))
