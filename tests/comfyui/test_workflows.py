"""The workflows say what the presets say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from motion_lib.files.embedding_file import load_embedding
from motion_lib.method.application import usual_patch
from motion_lib.training.presets import PRESETS

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
API = sorted((WORKFLOWS / "api").glob("*.json"))


def inputs_of(graph: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [node["inputs"] for node in graph.values() if node["class_type"] == f"MotionInversion{kind}"]


@pytest.mark.parametrize("path", API, ids=lambda path: path.stem)
def test_noise_and_way_of_applying_are_the_presets(path):
    graph = json.loads(path.read_text())
    presets = [PRESETS[train["preset"]] for train in inputs_of(graph, "Train")] or [PRESETS["object"]]
    (preset,) = presets
    way = preset.application
    for noise in inputs_of(graph, "MixNoise"):
        assert noise["weight"] == way.noise_weight
    for apply in inputs_of(graph, "ApplyAdvanced"):
        found = (apply["debias"], apply["start_percent"], apply["end_percent"])
        assert found == (way.debias, way.start, way.end)


def test_the_shared_embedding_was_made_by_its_preset():
    embedding = load_embedding(WORKFLOWS.parent / "motion_lib" / "bundled" / "samples" / "figure_eight.safetensors")
    preset = PRESETS[embedding.origin.preset]
    assert usual_patch(embedding) == preset.patch(embedding)
    origin = embedding.origin
    made = (origin.trained_steps, origin.settings["learning_rate"], origin.settings["timesteps"])
    assert made == (preset.settings.steps, preset.settings.learning_rate, list(preset.settings.timesteps))


def test_every_workflow_has_a_picture_a_note_and_both_formats():
    names = {path.stem for path in API}
    assert {name.split("_")[0] for name in names} == {"1b", *map(str, range(1, 15))}
    for folder, suffix in ((WORKFLOWS, ".json"), (WORKFLOWS, ".jpg"), (WORKFLOWS / "notes", ".md")):
        assert {path.stem for path in folder.glob(f"*{suffix}")} == names


def test_the_quickstart_is_small_and_made_of_the_published_subgraphs():
    quickstart = json.loads((WORKFLOWS / "1_quickstart.json").read_text())
    assert len(quickstart["nodes"]) <= 10
    published = [json.loads(path.read_text()) for path in (WORKFLOWS.parent / "subgraphs").glob("*.json")]
    definitions = [whole["definitions"]["subgraphs"][0] for whole in published]
    assert sorted(definitions, key=str) == sorted(quickstart["definitions"]["subgraphs"], key=str)


@pytest.mark.parametrize(
    "path", [*WORKFLOWS.glob("*.json"), *WORKFLOWS.parent.glob("subgraphs/*.json")], ids=lambda path: path.stem
)
def test_no_two_nodes_of_a_workflow_and_its_subgraphs_have_the_same_number(path):
    """Newer versions of the page would number them anew, and the API workflow would be another."""
    workflow = json.loads(path.read_text())
    graphs = [workflow, *workflow.get("definitions", {}).get("subgraphs", [])]
    numbers = [node["id"] for graph in graphs for node in graph["nodes"]]
    assert len(numbers) == len(set(numbers))
    assert max(numbers) <= workflow["last_node_id"]
