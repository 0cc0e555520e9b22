"""Which generators there are, how many seeds each gets, and what became of each."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import ModuleType

from .judge import Verdict

GENERATORS = tuple(sorted(p.stem for p in Path(__file__).parent.glob("*.py") if "\ndef case(" in p.read_text("utf-8")))
ROUND = 1000  # inputs


def generator(name: str) -> ModuleType:
    return import_module(f".{name}", __package__)


def shares(many: int | None) -> dict[str, int]:
    """Seeds of each generator: its own SEEDS, or its share of `many`."""
    usual = {name: generator(name).SEEDS for name in GENERATORS}
    if many is None:
        return usual
    return {name: -(-many * seeds // sum(usual.values())) for name, seeds in usual.items()}


def rounds(names: Sequence[str], many: int | None, first: int = 0) -> Iterator[tuple[str, range]]:
    """The seeds of each generator in rounds of a thousand inputs, so that a run that is stopped has tried its share of
    every kind."""
    count, share = max(1, (many or 0) // ROUND), shares(many)
    for i in range(count):
        for name in names:
            yield name, range(first + share[name] * i // count, first + share[name] * (i + 1) // count)


class Record:
    """Verdicts by generator and seed, without what the commands printed. With a path they stand in that file too, one
    JSON object a line, so that a run can be stopped and carried on."""

    def __init__(self, path: Path | None):
        self.path = path
        self.verdicts: dict[str, dict[int, Verdict]] = defaultdict(dict)
        for line in path.read_text("utf-8").splitlines() if path and path.exists() else ():
            entry = json.loads(line)
            name = entry.pop("input")
            self.verdicts[name][entry["seed"]] = Verdict(**entry)

    @property
    def seconds(self) -> float:
        return sum(verdict.seconds for verdicts in self.verdicts.values() for verdict in verdicts.values())

    def add(self, name: str, verdict: Verdict) -> None:
        verdict.output = ""
        self.verdicts[name][verdict.seed] = verdict
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"input": name, **asdict(verdict)}) + "\n")
