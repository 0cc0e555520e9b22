"""The workflows and the nodes on a running ComfyUI, as a user's browser would use them."""

from __future__ import annotations

import copy
import re
import time
from pathlib import Path

import pytest

from motion_lib.files.embedding_file import load_embedding
from motion_lib.metrics.paths import path_correlation
from motion_lib.sprites import object_path
from motion_lib.video import read_clip
from tests.tiny import said_by

from .graphs import API, SAMPLE, videos, workflow
from .host import node_of


def path_of(file: Path):
    return object_path(read_clip(file).frames.movedim(-1, 1).float() / 255)


@pytest.fixture(scope="module")
def quickstart(server):
    """The quickstart, run once with little training."""
    graph = workflow("1_quickstart")
    run = server.run(graph)
    assert run.outcome == "execution_success", run.error
    return graph, run


def test_the_log_shows_no_trouble_with_the_pack(server):
    log = server.log_path.read_text()
    assert "IMPORT FAILED" not in log
    assert "you accessed" not in log  # a missing attribute of the model's configuration


def test_quickstart_moves_a_blue_star_as_the_red_circle_moved(server, quickstart):
    _, run = quickstart
    generated = videos(server, run)["quickstart"]
    clip = read_clip(generated)
    assert len(clip.frames) == 16
    assert clip.frames.shape[1:3] == (128, 128)
    assert path_correlation(path_of(generated), path_of(SAMPLE)) > 0.8


def test_quickstart_reports_progress_previews_and_a_score(quickstart):
    graph, run = quickstart
    train = node_of(graph, "MotionInversionTrain")
    assert run.progress[train][-1] == 12
    assert run.previews > 0
    assert "Trained 12 steps" in run.outputs[train]["text"][0]
    report = run.outputs[node_of(graph, "MotionInversionReport")]["text"][0]
    assert "Motion fidelity" in report or "OpenCV" in report
    assert "Camera correlation – (" in report or "OpenCV" in report  # a plain background, which nobody can follow
    assert float(re.search(r"Path correlation (\S+)", report)[1]) > 0.8


def test_a_second_queue_executes_nothing(server, quickstart):
    graph, _ = quickstart
    again = server.run(graph)
    assert again.executed == []
    assert set(again.cached) == set(graph)


def test_another_workflow_in_between_trains_and_inverts_nothing_again(server, quickstart):
    graph, _ = quickstart
    between = server.run(workflow("2_use_a_shared_embedding", KSampler={"steps": 2}))
    assert between.outcome == "execution_success", between.error
    loaded = next(output for output in between.outputs.values() if "applied with" in str(output.get("text")))
    assert "learned from: a red circle" in loaded["text"][0]
    assert server.file(loaded["images"][0]).read_bytes()[:2] == b"\xff\xd8"  # the preview, a JPEG
    graph = copy.deepcopy(graph)  # as another graph, since the host would otherwise take all of it from its own cache
    graph[node_of(graph, "MotionInversionMixNoise")]["inputs"]["noise_seed"] += 1
    graph[node_of(graph, "BasicScheduler")]["inputs"]["steps"] = 2
    again = server.run(graph)
    assert again.outcome == "execution_success"
    train = node_of(graph, "MotionInversionTrain")
    assert "Reused" in again.outputs[train]["text"][0]
    assert again.progress.get(train, []) == []
    assert again.progress.get(node_of(graph, "MotionInversionInvert"), []) == []


def test_a_changed_camera_is_not_followed_again(server):
    few = {"BasicScheduler": {"steps": 2}}
    graph = workflow("3_camera_motion", **few)
    run = server.run(graph)
    assert run.outcome == "execution_success", run.error
    report = run.outputs[node_of(graph, "MotionInversionCameraNoise")]["text"][0]
    assert run.outputs[node_of(graph, "MotionInversionCameraMotion")]["text"][0] in report
    assert server.run(graph).executed == []
    other = workflow("3_camera_motion", **few, MotionInversionApplyCameraMotion={"amount": -1.0})
    again = server.run(other)
    assert again.outcome == "execution_success", again.error
    assert node_of(graph, "MotionInversionApplyCameraMotion") in again.executed
    assert node_of(graph, "SamplerCustomAdvanced") in again.executed
    assert {node_of(graph, f"MotionInversion{kind}") for kind in ("CameraMotion", "CameraNoise")} <= set(again.cached)


def test_noise_that_no_latent_can_stand_for_stops_only_who_wants_the_latent(server):
    graph = workflow("3_camera_motion")
    noise = graph[node_of(graph, "MotionInversionCameraNoise")]
    graph["90"] = {"class_type": "ModelSamplingSD3", "inputs": {"model": noise["inputs"]["model"], "shift": 3.0}}
    noise["inputs"]["model"] = ["90", 0]
    wanting = {"samples": [node_of(graph, "MotionInversionCameraNoise"), 1], "filename_prefix": "noise"}
    needed = {"CameraMotion", "CameraNoise", "PrepareClip", "SampleClip", "LoadModel"}
    kinds = {f"MotionInversion{kind}" for kind in needed} | {"EmptyLatentImage", "ModelSamplingSD3"}
    graph = {k: v for k, v in graph.items() if v["class_type"] in kinds}
    run = server.run(graph | {"91": {"class_type": "SaveLatent", "inputs": wanting}})
    assert run.outcome == "execution_error"
    assert "connect NOISE to SamplerCustomAdvanced" in run.error["exception_message"]
    assert run.error["node_id"] == "91"


@pytest.mark.parametrize("name", [p.stem for p in API if p.stem != "1_quickstart" and "wan" not in p.stem])
def test_workflow_runs(server, quickstart, name):
    # Few steps: that the result is right is checked on the quickstart.
    few = {"steps": 4}
    small = {"width": 128, "height": 128}
    graph = workflow(
        name,
        KSampler=few,
        BasicScheduler=few,
        MotionInversionInvert=few,
        MotionInversionPrepareClip=small,
        EmptyLatentImage=small,
        **({} if name.startswith("4") else {"MotionInversionTrain": {"steps": 2}}),
    )
    run = server.run(graph)
    assert run.outcome == "execution_success", run.error
    saved = videos(server, run)
    assert len(saved) == sum(node["class_type"] == "SaveVideo" for node in graph.values())
    for file in saved.values():
        frames = read_clip(file).frames
        assert len(frames) == 16
        assert frames.float().std() > 5  # a picture, not one colour


def test_cancel_stops_within_a_second_and_keeps_what_was_learned(server, base):
    graph = workflow("1_quickstart", MotionInversionTrain={"steps": 5000, "seed": 7})
    train = node_of(graph, "MotionInversionTrain")
    asked = 0.0
    for run, _ in server.follow(graph):
        if not asked and run.progress.get(train, [0])[-1] >= 3:
            server.request("/interrupt", {})
            asked = time.monotonic()
    step_seconds = 1.5  # a step that has begun ends first
    assert run.outcome == "execution_interrupted"
    assert time.monotonic() - asked < 1 + step_seconds
    trained = base / "models" / "motion_embeddings" / "trained"
    (partial,) = trained.glob("object_*_step*.safetensors")
    embedding = load_embedding(partial)
    assert embedding.origin.trained_steps >= 3
    assert max(float(t.abs().max()) for t in embedding.tensors.values()) > 0
    (checkpoint,) = trained.glob("*.checkpoint")

    reached = embedding.origin.trained_steps
    graph[train]["inputs"]["steps"] = 5000
    for run, _ in server.follow(graph):  # carries on where it was
        if run.progress.get(train):
            server.request("/interrupt", {})
    assert run.progress[train][0] >= reached
    assert checkpoint.is_file()


def test_saved_embedding_carries_preview_and_facts(server, base, quickstart):
    graph, _ = quickstart
    train, clip = node_of(graph, "MotionInversionTrain"), node_of(graph, "MotionInversionPrepareClip")
    saving = {
        **{k: v for k, v in graph.items() if v["class_type"] not in ("SaveVideo", "MotionInversionReport")},
        "90": {
            "class_type": "MotionInversionSaveEmbedding",
            "inputs": {
                "motion_embedding": [train, 0],
                "name": "shared/eight",
                "title": "An eight",
                "author": "somebody",
                "license": "CC0",
                "preview": [clip, 0],
            },
        },
        "91": {"class_type": "LossGraphNode", "inputs": {"loss": [train, 1], "filename_prefix": "loss"}},
    }
    saving = {k: v for k, v in saving.items() if not _needs(v, graph, ("MotionInversionReport", "SaveVideo"))}
    run = server.run(saving)
    assert run.outcome == "execution_success", run.error
    shown = run.outputs["90"]
    assert "author somebody" in shown["text"][0]
    assert server.file(shown["images"][0]).stat().st_size > 100
    embedding = load_embedding(base / "models" / "motion_embeddings" / "shared" / "eight.safetensors")
    assert embedding.origin.title == "An eight"
    assert len(embedding.origin.losses) == 12
    by_command_line = said_by(load_embedding(SAMPLE.with_suffix(".safetensors")))
    assert said_by(embedding).keys() >= by_command_line.keys()
    alike = ("preset", "model", "prompt", "source", "fps", "width", "height", "apply", "timesteps", "learning_rate")
    assert {k: said_by(embedding)[k] for k in alike} == {k: by_command_line[k] for k in alike}
    assert embedding.origin.thumbnail.startswith("data:image/jpeg;base64,")
    assert embedding.origin.trained_steps == 12

    names = server.get("/object_info/MotionInversionLoadEmbedding")["MotionInversionLoadEmbedding"]
    listed = names["input"]["required"]["name"]
    assert "shared/eight.safetensors" in (listed[1]["options"] if listed[0] == "COMBO" else listed[0])


def _needs(node: dict, graph: dict, kinds: tuple[str, ...]) -> bool:
    sources = [graph[v[0]] for v in node["inputs"].values() if isinstance(v, list) and v[0] in graph]
    return any(source["class_type"] in kinds for source in sources)
