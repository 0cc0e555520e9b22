"""What has been learned is not learned again: when the host forgets it, and when the same settings come another way."""

from __future__ import annotations

import re

import pytest

from .conftest import THREADS
from .graphs import workflow
from .host import Server, node_of, prepare_base, version_of


def test_a_host_that_forgets_results_learns_and_inverts_nothing_again(host, tmp_path):
    """With little memory left, newer versions forget results of the graph that they run, of their own nodes as of ours:
    a second queue executes again what did not change. What takes long is then read from disk, or from our memory."""
    pytest.importorskip("websocket")
    if version_of(host[0]) < (0, 28):
        pytest.skip("this version forgets only what is not in the queued graph")
    prepare_base(tmp_path)
    stock = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }
    few = {"steps": 2}
    graph = workflow("1_quickstart", MotionInversionTrain=few, MotionInversionInvert=few, BasicScheduler=few)
    with Server(*host, tmp_path, THREADS, ("--cache-ram", "100000")) as server:
        assert server.run(stock).outcome == "execution_success"
        assert server.run(stock).executed != []
        run = server.run(graph)
        assert run.outcome == "execution_success", run.error
        again = server.run(graph)
        assert again.outcome == "execution_success", again.error
    train, invert = (node_of(graph, f"MotionInversion{kind}") for kind in ("Train", "Invert"))
    assert {train, invert} <= set(again.executed)
    assert "Reused" in again.outputs[train]["text"][0]
    assert again.progress.get(train, []) == again.progress.get(invert, []) == []


def training(**inputs) -> dict:
    """A graph that learns for two steps, as ComfyUI's API takes it, with these inputs of the training node."""
    graph = workflow("1b_every_step", MotionInversionTrain={"steps": 2, "seed": 9})
    train = graph[node_of(graph, "MotionInversionTrain")]
    moved = [name for name in train["inputs"] if name not in SHOWN and not isinstance(train["inputs"][name], list)]
    assert {"learning_rate", "loss", "save_memory", "reuse"} <= set(moved)
    train["inputs"] = {k: v for k, v in train["inputs"].items() if k not in moved} | inputs
    needed = ("LoadModel", "SampleClip", "PrepareClip", "Train")
    kinds = {f"MotionInversion{kind}" for kind in needed} | {"VAEEncode"}
    words = train["inputs"]["positive"][0]
    graph = {k: v for k, v in graph.items() if v["class_type"] in kinds or k == words}
    loss = [node_of(graph, "MotionInversionTrain"), 1]
    return graph | {"91": {"class_type": "LossGraphNode", "inputs": {"loss": loss, "filename_prefix": "loss"}}}


SHOWN = ("preset", "steps", "seed")
SETTINGS = {"learning_rate": 0.003, "loss": "velocity", "sites": "coarse_up", "motion_mask": 0.0}


def test_training_options_mean_what_the_same_settings_at_the_training_node_mean(server):
    said = []
    for inputs, options in (
        (SETTINGS, None),
        ({}, SETTINGS),
        ({"loss": "mse", "reuse": False}, SETTINGS),  # which count for nothing while options are connected
        ({}, {}),
        ({}, None),
    ):
        graph = training(**inputs)
        if options is not None:
            graph["90"] = {"class_type": "MotionInversionTrainingOptions", "inputs": options}
            graph[node_of(graph, "MotionInversionTrain")]["inputs"]["options"] = ["90", 0]
        run = server.run(graph)
        assert run.outcome == "execution_success", run.error
        said.append(run.outputs[node_of(graph, "MotionInversionTrain")]["text"][0])
    names = [re.search(r"trained/(\S+)\.safetensors", text)[1] for text in said]
    assert names[0] == names[1] == names[2] != names[3] == names[4]
    assert ["Reused" in text for text in said] == [False, True, True, False, True]
