"""The pack's workflows as a server takes them, and the videos that it saves."""

from __future__ import annotations

import json
from pathlib import Path

from .host import PACK, Server

API = sorted((PACK / "workflows" / "api").glob("*.json"))
SAMPLE = PACK / "motion_lib" / "bundled" / "samples" / "figure_eight.mp4"
QUICK = {"MotionInversionTrain": {"steps": 12}}  # enough to see that it acts


def workflow(name: str, **changes: dict) -> dict:
    """An API workflow with some inputs of some kinds of node changed."""
    (path,) = (p for p in API if p.stem.startswith(name))
    graph = json.loads(path.read_text())
    for kind, inputs in {**QUICK, **changes}.items():
        for node in graph.values():
            if node["class_type"] == kind:
                node["inputs"] |= inputs
    return graph


def videos(server: Server, run) -> dict[str, Path]:
    """Saved videos by the beginning of their names."""
    files = [server.file(entry) for output in run.outputs.values() for entry in output.get("images", ())]
    return {file.stem.rsplit("_", 2)[0]: file for file in files if file.suffix == ".mp4"}
