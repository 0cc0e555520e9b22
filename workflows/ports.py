"""What ComfyUI says of the inputs and outputs of a node, of one that is a subgraph too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from graph import Graph, Link, Node, Outer

Info = dict[str, Any]  # ComfyUI's answer to /object_info
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
DYNAMIC = "COMFY_DYNAMICCOMBO_V3"  # a choice that brings further inputs with it, named after it and a dot


@dataclass(frozen=True)
class Port:
    name: str
    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    optional: bool = False

    @property
    def widget(self) -> bool:
        return self.kind in WIDGETS and not self.options.get("forceInput")

    @property
    def usual(self) -> Any:
        """The value of a widget that nobody has changed."""
        if "default" in self.options:
            return self.options["default"]
        choices = self.options.get("options") or [None]
        return {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}.get(self.kind, choices[0])


def inputs_of(node: Node, info: Info) -> list[Port]:
    """In the order of the node's widgets."""
    if isinstance(node.kind, Graph):
        return [_port_of(node.kind, name, info) for name in node.kind.inputs]
    known = info[node.kind]
    return [
        port
        for group in ("required", "optional")
        for name in known["input_order"].get(group, ())
        for port in _ports(name, known["input"][group][name], group == "optional", node.inputs)
    ]


def widgets_of(node: Node, info: Info) -> list[Port]:
    return [port for port in inputs_of(node, info) if port.widget]


def outputs_of(node: Node, info: Info) -> list[tuple[str, str]]:
    """(name, type)"""
    if isinstance(node.kind, Graph):
        return [(name, output_kind(node.kind, link, info)) for name, link in node.kind.outputs.items()]
    known = info[node.kind]
    return list(zip(known["output_name"], known["output"], strict=True))


def output_kind(graph: Graph, link: Link, info: Info) -> str:
    return outputs_of(graph.node(link.node), info)[link.slot][1]


def targets(graph: Graph, name: str) -> list[tuple[Node, str]]:
    """The inputs inside that an input of a subgraph leads to."""
    wanted = Outer(name)
    return [(node, inner) for node in graph.nodes for inner, value in node.inputs.items() if value == wanted]


def _port_of(graph: Graph, name: str, info: Info) -> Port:
    node, inner = targets(graph, name)[0]
    (port,) = (port for port in inputs_of(node, info) if port.name == inner)
    return replace(port, name=name, options={**port.options, "default": graph.inputs[name]})


def _ports(name: str, entry: list[Any], optional: bool, given: dict[str, Any]) -> Iterator[Port]:
    kind, options = entry[0], entry[1] if len(entry) > 1 else {}
    if isinstance(kind, list):  # a choice, as older versions write it
        yield Port(name, "COMBO", {"options": kind, **options}, optional)
    elif kind == DYNAMIC:
        further = {choice["key"]: choice["inputs"] for choice in options["options"]}
        yield (choice := Port(name, "COMBO", {**options, "options": list(further)}, optional))
        for group, entries in further[given.get(name, choice.usual)].items():
            for inner, inner_entry in entries.items():
                yield from _ports(f"{name}.{inner}", inner_entry, group == "optional", given)
    else:
        yield Port(name, kind, options, optional)
