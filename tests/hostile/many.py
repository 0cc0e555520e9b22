"""Which generators there are, and how many seeds each gets."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

GENERATORS = tuple(sorted(p.stem for p in Path(__file__).parent.glob("*.py") if "\ndef case(" in p.read_text("utf-8")))


def generator(name: str) -> ModuleType:
    return import_module(f".{name}", __package__)


def shares(many: int | None) -> dict[str, int]:
    """Seeds of each generator: its own SEEDS, or its share of `many`."""
    usual = {name: generator(name).SEEDS for name in GENERATORS}
    if many is None:
        return usual
    return {name: -(-many * seeds // sum(usual.values())) for name, seeds in usual.items()}
