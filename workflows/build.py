"""Writes the workflows of this folder, for ComfyUI's page here and for its API in `api/`, and in `../subgraphs` the
subgraphs that the page's node library lists.

    python workflows/build.py http://127.0.0.1:8188

A running ComfyUI with this pack says what its nodes look like. Take the newest supported version, whose nodes have
every input. Graphs are described once, in `graphs.py`.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graph import Graph, Link, Outer
from graphs import GRAPHS, SUBGRAPHS
from ports import Info, widgets_of
from ui import blueprint, ui_format

HERE = Path(__file__).parent


def api_format(graph: Graph, info: Info) -> dict[str, Any]:
    """With every widget's value written out, so that a graph says what it does."""
    return dict(_api_nodes(graph, info, "", {}))


def _api_nodes(graph: Graph, info: Info, prefix: str, outer: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of a subgraph too: prefix: its node's number and a colon; outer: what its inputs are, in API format."""

    def resolved(value: Any) -> Any:
        if isinstance(value, Outer):
            return outer[value.name]
        if isinstance(value, Link):
            return _source(graph, value, prefix)
        return value

    for node in graph.nodes:
        if isinstance(node.kind, Graph):
            given = {**node.kind.inputs, **{name: resolved(value) for name, value in node.inputs.items()}}
            yield from _api_nodes(node.kind, info, f"{prefix}{node.id}:", given)
            continue
        values = {port.name: port.usual for port in widgets_of(node, info)}
        inputs = {**values, **{name: resolved(value) for name, value in node.inputs.items()}}
        title = node.title or info[node.kind]["display_name"]
        yield f"{prefix}{node.id}", {"class_type": node.kind, "inputs": inputs, "_meta": {"title": title}}


def _source(graph: Graph, link: Link, prefix: str) -> list[Any]:
    """The node, inside of a subgraph if need be, and its output."""
    kind = graph.node(link.node).kind
    if isinstance(kind, Graph):
        return _source(kind, list(kind.outputs.values())[link.slot], f"{prefix}{link.node}:")
    return [f"{prefix}{link.node}", link.slot]


def write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(url: str) -> None:
    with urllib.request.urlopen(f"{url}/object_info") as answer:
        info = json.load(answer)
    for graph in GRAPHS:
        write(HERE / f"{graph.name}.json", ui_format(graph, info))
        write(HERE / "api" / f"{graph.name}.json", api_format(graph, info))
    for graph in SUBGRAPHS:
        write(HERE.parent / "subgraphs" / f"{graph.name}.json", blueprint(graph, info))


if __name__ == "__main__":
    main(sys.argv[1])
