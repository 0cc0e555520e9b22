"""Graphs in the form that ComfyUI's page reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from graph import Graph, Group, Link, Node, Note, Outer
from ports import Info, Port, inputs_of, output_kind, outputs_of

LINE = 24  # pixels of height of an input or a widget
INPUTS, OUTPUTS = -10, -20  # the page's numbers for the two ends of a subgraph
CATEGORY = "motion inversion"


def ui_format(graph: Graph, info: Info) -> dict[str, Any]:
    nodes, links = _nodes(graph, info)
    last = graph.nodes[-1].id
    nodes += [_note(last + 1 + number, note) for number, note in enumerate(graph.notes)]
    definitions = [_definition(node.kind, node, info) for node in graph.nodes if isinstance(node.kind, Graph)]
    return {
        "id": str(uuid5(NAMESPACE_URL, graph.name)),
        "revision": 0,
        "last_node_id": max(_numbers(graph)) + len(graph.notes),
        "last_link_id": len(links),
        "nodes": nodes,
        "links": [[link[key] for key in LINK] for link in links],
        "groups": [_group(number, group) for number, group in enumerate(graph.groups, 1)],
        **({"definitions": {"subgraphs": definitions}} if definitions else {}),
        "config": {},
        "extra": {"ds": {"scale": 0.7, "offset": [40, 80]}},
        "version": 0.4,
    }


LINK = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")


def blueprint(graph: Graph, info: Info) -> dict[str, Any]:
    """A workflow of nothing but this subgraph, as the page's node library lists it."""
    whole = Graph(graph.name)
    whole.add(graph, (0, 0), size=(360, 420))
    written = ui_format(whole, info)
    written["extra"] = {"BlueprintDescription": graph.description, "BlueprintSearchAliases": list(graph.aliases)}
    return written


def _numbers(graph: Graph) -> list[int]:
    inner = [number for node in graph.nodes if isinstance(node.kind, Graph) for number in _numbers(node.kind)]
    return [node.id for node in graph.nodes] + inner


def _identity(graph: Graph) -> str:
    return str(uuid5(NAMESPACE_URL, f"motion-inversion/{graph.name}"))


def _nodes(graph: Graph, info: Info) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Nodes and links; those that come from the subgraph's own inputs first."""
    links: list[dict[str, Any]] = []
    nodes = [_node(order, node, graph, info, links) for order, node in enumerate(graph.nodes)]
    by_number = {node["id"]: node for node in nodes}
    for link in links:
        if link["origin_id"] != INPUTS:
            by_number[link["origin_id"]]["outputs"][link["origin_slot"]]["links"].append(link["id"])
    return nodes, links


def _node(order: int, node: Node, graph: Graph, info: Info, links: list[dict[str, Any]]) -> dict[str, Any]:
    inputs: list[dict[str, Any]] = []
    values: list[Any] = []
    for port in inputs_of(node, info):
        value = node.inputs.get(port.name)
        linked = isinstance(value, (Link, Outer))
        if port.widget:
            values += _widget_values(port, value, node, graph)
        if linked or not port.widget or isinstance(node.kind, Graph):
            inputs.append(_socket(port, value, node, graph, info, links, len(inputs)))
    outputs = [
        {"name": name, "type": kind, "links": [], "slot_index": slot}
        for slot, (name, kind) in enumerate(outputs_of(node, info))
    ]
    shown = [port for port in inputs_of(node, info) if not port.options.get("hidden")]
    height = 40 + LINE * (len(shown) + max(0, len(outputs) - len(inputs)))
    inside = isinstance(node.kind, Graph)
    title = node.title or (node.kind.name if inside else "")
    return {
        "id": node.id,
        "type": _identity(node.kind) if inside else node.kind,
        "pos": list(node.position),
        "size": list(node.size or (300, height)),
        "flags": {},
        "order": order,
        "mode": 0,
        "inputs": inputs,
        "outputs": outputs,
        **({"title": title} if title else {}),
        "properties": {} if inside else {"Node name for S&R": node.kind},
        "widgets_values": values,
    }


def _widget_values(port: Port, value: Any, node: Node, graph: Graph) -> list[Any]:
    if isinstance(value, Outer):
        value = graph.inputs[value.name]
    found = port.usual if value is None or isinstance(value, Link) else value
    seeded = port.options.get("control_after_generate", port.name in ("seed", "noise_seed"))
    return [found, "fixed"] if seeded and not isinstance(node.kind, Graph) else [found]


def _socket(
    port: Port, value: Any, node: Node, graph: Graph, info: Info, links: list[dict[str, Any]], slot: int
) -> dict[str, Any]:
    number = None
    if isinstance(value, (Link, Outer)):
        if isinstance(value, Link):
            source, origin, kind = value.node, value.slot, output_kind(graph, value, info)
        else:
            source, origin, kind = INPUTS, list(graph.inputs).index(value.name), port.kind
        kind = kind if "," in port.kind else port.kind
        number = len(links) + 1
        links.append(dict(zip(LINK, (number, source, origin, node.id, slot, kind), strict=True)))
    return {
        "name": port.name,
        "type": port.kind,
        **({"widget": {"name": port.name}} if port.widget else {}),
        "link": number,
        **({"shape": 7} if port.optional and not port.widget else {}),
    }


def _definition(graph: Graph, instance: Node, info: Info) -> dict[str, Any]:
    """A subgraph, with the values that its node in a workflow has: older versions of the page know no others."""
    given = {name: value for name, value in instance.inputs.items() if not isinstance(value, (Link, Outer))}
    graph = replace(graph, inputs={**graph.inputs, **given})
    nodes, links = _nodes(graph, info)
    left, top = (min(node.position[axis] for node in graph.nodes) for axis in (0, 1))
    right = max(node.position[0] for node in graph.nodes)
    ports = inputs_of(instance, info)
    inputs = [
        _end(
            graph,
            port.name,
            port.kind,
            [link["id"] for link in links if link["origin_slot"] == slot and link["origin_id"] == INPUTS],
        )
        for slot, port in enumerate(ports)
    ]
    outputs = []
    for slot, (name, link) in enumerate(graph.outputs.items()):
        number, kind = len(links) + 1, output_kind(graph, link, info)
        links.append(dict(zip(LINK, (number, link.node, link.slot, OUTPUTS, slot, kind), strict=True)))
        (source,) = (node for node in nodes if node["id"] == link.node)
        source["outputs"][link.slot]["links"].append(number)
        outputs.append(_end(graph, name, kind, [number]))
    return {
        "id": _identity(graph),
        "version": 1,
        "state": {"lastGroupId": 0, "lastNodeId": graph.nodes[-1].id, "lastLinkId": len(links), "lastRerouteId": 0},
        "revision": 0,
        "config": {},
        "name": graph.name,
        "description": graph.description,
        "category": CATEGORY,
        "inputNode": {"id": INPUTS, "bounding": [left - 260, top, 160, 40 + LINE * len(inputs)]},
        "outputNode": {"id": OUTPUTS, "bounding": [right + 420, top, 160, 40 + LINE * len(outputs)]},
        "inputs": inputs,
        "outputs": outputs,
        "widgets": [],
        "nodes": nodes,
        "groups": [],
        "links": links,
        "extra": {},
    }


def _end(graph: Graph, name: str, kind: str, links: list[int]) -> dict[str, Any]:
    """An input or output of a subgraph."""
    return {
        "id": str(uuid5(NAMESPACE_URL, f"motion-inversion/{graph.name}/{name}")),
        "name": name,
        "type": kind,
        "linkIds": links,
    }


def _group(number: int, group: Group) -> dict[str, Any]:
    return {
        "id": number,
        "title": group.title,
        "bounding": [*group.position, *group.size],
        "color": "#3f789e",
        "font_size": 24,
        "flags": {},
    }


def _note(number: int, note: Note) -> dict[str, Any]:
    return {
        "id": number,
        "type": "MarkdownNote",
        "pos": list(note.position),
        "size": list(note.size),
        "flags": {},
        "order": number,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": "Note",
        "properties": {},
        "widgets_values": [note.text],
        "color": "#432",
        "bgcolor": "#653",
    }
