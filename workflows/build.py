"""Writes the workflows of this folder: for ComfyUI's browser here, and the same for its API in `api/`.

    python workflows/build.py http://127.0.0.1:8188

A running ComfyUI with this pack says what its nodes look like. Graphs are described once, in `graphs.py`.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from graphs import GRAPHS, Graph, Link

HERE = Path(__file__).parent
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
LINE = 24  # pixels of height of an input or a widget


def api_format(graph: Graph, info: dict[str, Any]) -> dict[str, Any]:
    """With every widget's value written out, so that a graph says what it does."""
    result = {}
    for node in graph.nodes:
        inputs = {
            name: value
            for name, kind, options in _inputs(info[node.kind])
            if kind in WIDGETS and (value := node.inputs.get(name, _default(kind, options))) is not None
        }
        inputs |= {k: [str(v.node), v.slot] if isinstance(v, Link) else v for k, v in node.inputs.items()}
        result[str(node.id)] = {
            "class_type": node.kind,
            "inputs": inputs,
            "_meta": {"title": node.title or _title(node, info)},
        }
    return result


def ui_format(graph: Graph, info: dict[str, Any]) -> dict[str, Any]:
    links: list[list[Any]] = []
    nodes = []
    for order, node in enumerate(graph.nodes):
        known = info[node.kind]
        inputs, values = [], []
        for name, kind, options in _inputs(known):
            value = node.inputs.get(name)
            if kind in WIDGETS and not isinstance(value, Link):
                values.append(_default(kind, options) if value is None else value)
                if options.get("control_after_generate", name in ("seed", "noise_seed")):
                    values.append("fixed")
                continue
            link = None
            if isinstance(value, Link):
                links.append([len(links) + 1, value.node, value.slot, node.id, len(inputs), kind])
                link = len(links)
            inputs.append({"name": name, "type": kind, "link": link, **_shape(known, name)})
        outputs = [
            {"name": name, "type": kind, "links": [], "slot_index": slot}
            for slot, (name, kind) in enumerate(zip(known["output_name"], known["output"], strict=True))
        ]
        height = 40 + LINE * (max(len(inputs), len(outputs)) + len(values))
        nodes.append(
            {
                "id": node.id,
                "type": node.kind,
                "pos": list(node.position),
                "size": list(node.size or (300, height)),
                "flags": {},
                "order": order,
                "mode": 0,
                "inputs": inputs,
                "outputs": outputs,
                **({"title": node.title} if node.title else {}),
                "properties": {"Node name for S&R": node.kind},
                "widgets_values": values,
            }
        )
    by_id = {node["id"]: node for node in nodes}
    for number, source, slot, _, _, kind in links:
        output = by_id[source]["outputs"][slot]
        output["links"].append(number)
        links[number - 1][5] = output["type"] if "," in kind else kind
    last = max(by_id)
    for note in graph.notes:
        last += 1
        nodes.append(_note(last, note.text, note.position, note.size))
    return {
        "id": str(uuid5(NAMESPACE_URL, graph.name)),
        "revision": 0,
        "last_node_id": last,
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": [],
        "config": {},
        "extra": {"ds": {"scale": 0.7, "offset": [40, 80]}},
        "version": 0.4,
    }


def _note(number: int, text: str, position: tuple[int, int], size: tuple[int, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "MarkdownNote",
        "pos": list(position),
        "size": list(size),
        "flags": {},
        "order": number,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": "Note",
        "properties": {},
        "widgets_values": [text],
        "color": "#432",
        "bgcolor": "#653",
    }


def _inputs(known: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(name, type, options) of every input, in the order of the node's widgets."""
    found = []
    for group in ("required", "optional"):
        for name in known["input_order"].get(group, ()):
            entry = known["input"][group][name]
            options = entry[1] if len(entry) > 1 else {}
            kind = "COMBO" if isinstance(entry[0], list) else entry[0]
            found.append((name, kind, {"options": entry[0], **options} if isinstance(entry[0], list) else options))
    return found


def _default(kind: str, options: dict[str, Any]) -> Any:
    if "default" in options:
        return options["default"]
    choices = options.get("options") or [None]
    return {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}.get(kind, choices[0])


def _shape(known: dict[str, Any], name: str) -> dict[str, Any]:
    return {"shape": 7} if name in known["input"].get("optional", ()) else {}


def _title(node: Any, info: dict[str, Any]) -> str:
    return info[node.kind]["display_name"]


def main(url: str) -> None:
    with urllib.request.urlopen(f"{url}/object_info") as answer:
        info = json.load(answer)
    (HERE / "api").mkdir(exist_ok=True)
    for graph in GRAPHS:
        for path, content in (
            (HERE / f"{graph.name}.json", ui_format(graph, info)),
            (HERE / "api" / f"{graph.name}.json", api_format(graph, info)),
        ):
            path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
