"""The rooms of motion_lib, by what its files import: what makes videos does not know what measures them, no two rooms
need each other, and no two files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import motion_lib

ROOT = Path(motion_lib.__file__).parent
CORE = ("method", "diffusion", "training", "camera", "files", "backbones", "video", "frames_from_images")
OUTER = ("metrics", "benchmark", "sprites", "cli")
# A folder that is a room of its own: the program that makes the bundled models and judges them. Nothing imports it.
PROGRAMS = ("sprites/recipe",)


class Import(NamedTuple):
    """Of one module by another, both by their names in motion_lib. typed: only for those who check types."""

    by: str
    of: str
    typed: bool


def modules(root: Path) -> dict[str, Path]:
    """By name, such as `cli.train`; a room itself is called as its folder, motion_lib `.`."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "."] = path
    return found


def imports(root: Path) -> Iterator[Import]:
    """Everywhere: at the top of modules, in functions, and for type checkers."""
    there = modules(root)
    for name, path in there.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts = [] if name == "." else name.split(".")
        package = parts if path.name == "__init__.py" else parts[:-1]
        typed = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            for target in _targets(node, package, root.name):
                of = target if target in there else target.rpartition(".")[0]
                if (of or ".") in there and of != name:
                    yield Import(name, of or ".", id(node) in typed)


def _targets(node: ast.AST, package: list[str], library: str) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else []
        named = node.module.split(".") if node.module else []
        if not node.level:
            if named[0] != library:
                return
            named = named[1:]
        yield from (".".join([*base, *named, alias.name]) for alias in node.names)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.startswith(f"{library}."):
                yield alias.name.removeprefix(f"{library}.")


def room(module: str, root: Path = ROOT) -> str | None:
    """The folder of motion_lib that a module is in; None for those at its top, such as errors."""
    first = module.partition(".")[0]
    if not (root / first).is_dir():
        return None
    return next((p for p in PROGRAMS if f"{module}.".startswith(p.replace("/", ".") + ".")), first)


def circles(pairs: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of which each needs the other, also by way of others."""
    reach: dict[str, set[str]] = {}
    for a, b in pairs:
        reach.setdefault(a, set()).add(b)
    changed = True
    while changed:
        changed = False
        for found in reach.values():
            more = set().union(*(reach.get(b, set()) for b in found)) - found
            found |= more
            changed = changed or bool(more)
    return sorted((a, b) for a, found in reach.items() for b in found if a < b and a in reach.get(b, set()))


FOUND = list(imports(ROOT))
MAIN = Import("__main__", "cli", False)  # python -m motion_lib


def test_no_two_rooms_need_each_other() -> None:
    pairs = {(a, b) for each in FOUND if (a := room(each.by)) and (b := room(each.of)) and a != b}
    assert ("training", "method") in pairs and circles(pairs) == []


def test_no_two_files_need_each_other() -> None:
    """When the program runs; those who check types may look at the file that uses a file."""
    assert circles({(each.by, each.of) for each in FOUND if not each.typed and "." not in each[:2]}) == []


@pytest.mark.parametrize("name", CORE)
def test_what_makes_videos_does_not_know_what_measures_them(name: str) -> None:
    wrong = [each for each in FOUND if room(each.by) == name and str(room(each.of)).split("/")[0] in OUTER]
    assert (ROOT / name).is_dir() and wrong == []


def test_only_the_command_line_knows_itself() -> None:
    assert [each for each in FOUND if room(each.of) == "cli" and room(each.by) not in ("cli", *PROGRAMS)] == [MAIN]


def test_nothing_imports_a_program() -> None:
    assert [each for each in FOUND if room(each.of) in PROGRAMS and room(each.by) not in PROGRAMS] == []


def test_imports_are_found_wherever_they_stand(tmp_path: Path) -> None:
    root = tmp_path / "house"
    for name, text in {
        "a/one.py": "from ..b import two\nif TYPE_CHECKING:\n    from . import three\n",
        "a/three.py": "import house.b.two\n",
        "a/__init__.py": "",
        "b/two.py": "def f():\n    from ..c.four import X\n",
        "c/four.py": "from house.a.one import y\nfrom os import path\n",
        "errors.py": "",
        "__init__.py": "from .errors import z\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    found = list(imports(root))
    assert found == [
        Import(".", "errors", False),
        Import("a.one", "b.two", False),
        Import("a.one", "a.three", True),
        Import("a.three", "b.two", False),
        Import("b.two", "c.four", False),
        Import("c.four", "a.one", False),
    ]
    pairs = {(str(room(e.by, root)), str(room(e.of, root))) for e in found if room(e.by, root) != room(e.of, root)}
    assert circles(pairs) == [("a", "b"), ("a", "c"), ("b", "c")]
