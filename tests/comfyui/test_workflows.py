"""The workflows say what the presets say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from motion_lib.describe import usual_patch
from motion_lib.files import load_embedding
from motion_lib.presets import PRESETS

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
API = sorted((WORKFLOWS / "api").glob("*.json"))


def inputs_of(graph: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [node["inputs"] for node in graph.values() if node["class_type"] == f"MotionInversion{kind}"]


@pytest.mark.parametrize("path", API, ids=lambda path: path.stem)
def test_noise_and_way_of_applying_are_the_presets(path):
    graph = json.loads(path.read_text())
    presets = [PRESETS[train["preset"]] for train in inputs_of(graph, "Train")] or [PRESETS["object"]]
    (preset,) = presets
    for noise in inputs_of(graph, "MixNoise"):
        assert noise["weight"] == preset.noise_weight
    for apply in inputs_of(graph, "ApplyAdvanced"):
        found = (apply["debias"], apply["start_percent"], apply["end_percent"])
        assert found == (preset.debias, preset.start, preset.end)


def test_the_shared_embedding_was_made_by_its_preset():
    embedding = load_embedding(WORKFLOWS.parent / "motion_lib" / "samples" / "figure_eight.safetensors")
    preset = PRESETS[embedding.details["preset"]]
    assert usual_patch(embedding) == preset.patch(embedding)
    made = (embedding.details["trained_steps"], embedding.details["learning_rate"], embedding.details["timesteps"])
    assert made == (preset.settings.steps, preset.settings.learning_rate, list(preset.settings.timesteps))


def test_every_workflow_has_a_picture_a_note_and_both_formats():
    names = {path.stem for path in API}
    assert len(names) == 7
    for folder, suffix in ((WORKFLOWS, ".json"), (WORKFLOWS, ".jpg"), (WORKFLOWS / "notes", ".md")):
        assert {path.stem for path in folder.glob(f"*{suffix}")} == names
