"""What a workflow is made of, before it takes the form of ComfyUI's page or of its API."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NOTES = Path(__file__).parent / "notes"


@dataclass(frozen=True)
class Link:
    """An output of a node."""

    node: int
    slot: int = 0


@dataclass(frozen=True)
class Outer:
    """An input of the subgraph that a node is in."""

    name: str


@dataclass
class Node:
    """kind: a type of node, or a graph that is one node of another."""

    id: int
    kind: str | Graph
    position: tuple[int, int]
    inputs: dict[str, Any]
    title: str = ""
    size: tuple[int, int] | None = None

    def __getitem__(self, slot: int) -> Link:
        return Link(self.id, slot)


@dataclass
class Note:
    text: str
    position: tuple[int, int]
    size: tuple[int, int]


@dataclass
class Group:
    """A titled frame around nodes."""

    title: str
    position: tuple[int, int]
    size: tuple[int, int]


@dataclass
class Graph:
    """first: the number of the first node. All numbers in a workflow and its subgraphs differ, because newer versions
    of the page number nodes anew where they do not.

    Of a subgraph, inputs: their values, None where nothing but a link can be given; outputs: where they come from.
    """

    name: str
    first: int = 1
    description: str = ""
    aliases: tuple[str, ...] = ()
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Link] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)

    def add(
        self,
        kind: str | Graph,
        position: tuple[int, int],
        title: str = "",
        size: tuple[int, int] | None = None,
        **inputs: Any,
    ) -> Node:
        node = Node(self.first + len(self.nodes), kind, position, inputs, title, size)
        self.nodes.append(node)
        return node

    def given(self, *names: str) -> tuple[Outer, ...]:
        """Inputs of this subgraph that are links."""
        return tuple(self.value(name, None) for name in names)

    def value(self, name: str, usual: Any) -> Outer:
        """An input of this subgraph that is a widget."""
        self.inputs[name] = usual
        return Outer(name)

    def node(self, number: int) -> Node:
        return self.nodes[number - self.first]

    def note(self, position: tuple[int, int], size: tuple[int, int]) -> None:
        """The text in `notes` that has the graph's name."""
        text = (NOTES / f"{self.name}.md").read_text(encoding="utf-8")
        self.notes.append(Note(text, position, size))
