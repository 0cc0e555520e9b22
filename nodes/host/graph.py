"""What the queued graph says about an input of a running node: words that its type does not carry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

WEIGHTS = {".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin"}
VIDEOS = {".mp4", ".webm", ".mov", ".mkv", ".avi", ".gif", ".webp"}


def values_above(graph: dict[str, Any] | None, node: str | None, name: str) -> Iterator[tuple[str, Any]]:
    """(input name, value) of every widget of the nodes that lead to this input, the nearest first.

    graph: in ComfyUI's API format, None where it is not known.
    """
    graph = graph or {}
    seen: set[str] = set()
    waiting = [graph.get(str(node), {}).get("inputs", {}).get(name)]
    while waiting:
        link = waiting.pop(0)
        if not isinstance(link, list) or not link or link[0] in seen:
            continue
        seen.add(link[0])
        inputs = graph.get(link[0], {}).get("inputs", {})
        yield from ((key, value) for key, value in inputs.items() if not isinstance(value, list))
        waiting += inputs.values()


def prompt_above(graph: dict[str, Any] | None, node: str | None, name: str) -> str | None:
    """The text of the nearest text encoder, None when none is found."""
    texts = (value for key, value in values_above(graph, node, name) if key == "text" and isinstance(value, str))
    return next(texts, None)


def clip_above(graph: dict[str, Any] | None, node: str | None, name: str) -> str | None:
    """The file name of the nearest video, None when none is found."""
    return next((path.name for path in _files_above(graph, node, name) if path.suffix.lower() in VIDEOS), None)


def weights_above(graph: dict[str, Any] | None, node: str | None, name: str) -> str | None:
    """The name of the furthest file of weights without its suffix, None when none is found. Nearer ones are LoRAs."""
    files = [path.stem for path in _files_above(graph, node, name) if path.suffix.lower() in WEIGHTS]
    return files[-1] if files else None


def _files_above(graph: dict[str, Any] | None, node: str | None, name: str) -> Iterator[PurePath]:
    texts = (value for _, value in values_above(graph, node, name) if isinstance(value, str))
    return (PurePath(text.partition(" [")[0]) for text in texts)
