"""The workflows for Wan in a real ComfyUI, with small random models in the place of the real ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from motion_lib.files.embedding_file import load_embedding
from motion_lib.video import read_clip

from .host import PACK, node_of, version_of

LEARNS = (0, 28)  # the oldest ComfyUI that can learn with Wan
SMALL = {"width": 64, "height": 64}
SMALLER = {
    "MotionInversionPrepareClip": {**SMALL, "frames": 5},
    "EmptyHunyuanLatentVideo": {**SMALL, "length": 5},
    "MotionInversionTrain": {"steps": 3},
    "KSampler": {"steps": 3},
}


def small(name: str) -> dict[str, Any]:
    graph = json.loads((PACK / "workflows" / "api" / f"{name}.json").read_text())
    for node in graph.values():
        node["inputs"] |= SMALLER.get(node["class_type"], {})
    graph[node_of(graph, "CLIPLoader")] |= {"class_type": "SmallTextLoader", "inputs": {}}
    return graph


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("11_wan_2.1_1.3b_832x480", "wan2.1_t2v_1.3B_fp16"),
        ("12_wan_2.2_two_experts", "wan2.2_t2v_high_noise_14B_fp8_scaled"),
    ],
)
def test_a_motion_is_learned_applied_and_found_again(host, server, base, name, model):
    graph = small(name)
    train = node_of(graph, "MotionInversionTrain")
    run = server.run(graph)
    if version_of(host[0]) < LEARNS:
        assert "update it to 0.28 or newer" in run.error["exception_message"]
        return
    assert run.outcome == "execution_success", run.error
    (video,) = (server.file(entry) for output in run.outputs.values() for entry in output.get("images", ()))
    assert len(read_clip(video).frames) == 5
    assert run.progress[train][-1] == 3
    (file,) = (
        path
        for path in (base / "models" / "motion_embeddings" / "trained").glob("object_*.safetensors")
        if load_embedding(path).origin.model == model
    )
    origin = load_embedding(file).origin
    assert (origin.trained_steps, origin.source, origin.preset) == (3, "figure_eight_33.mp4", "object")
    graph[node_of(graph, "EmptyHunyuanLatentVideo")]["inputs"]["length"] = 9
    again = server.run(graph)
    assert again.outcome == "execution_success", again.error
    assert train in again.cached and train not in again.executed


def test_the_clip_as_noise_starts_a_video_of_wan(host, server):
    """Invert Video to Noise and Mix Inversion Noise, by SamplerCustomAdvanced."""
    graph = small("11_wan_2.1_1.3b_832x480")
    sampler, train = node_of(graph, "KSampler"), node_of(graph, "MotionInversionTrain")
    model, latent = graph[train]["inputs"]["model"], graph[train]["inputs"]["latent"]
    negative, empty = graph[sampler]["inputs"]["negative"], graph[sampler]["inputs"]["latent_image"]
    graph |= {
        "90": {
            "class_type": "MotionInversionInvert",
            "inputs": {"model": model, "latent": latent, "steps": 3, "conditioning": negative, "refinements": 1},
        },
        "91": {
            "class_type": "MotionInversionMixNoise",
            "inputs": {"model": model, "inverted_noise": ["90", 0], "weight": 0.5, "noise_seed": 1},
        },
        "92": {"class_type": "BasicGuider", "inputs": {"model": model, "conditioning": negative}},
        "93": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
        "94": {
            "class_type": "BasicScheduler",
            "inputs": {"model": model, "scheduler": "simple", "steps": 3, "denoise": 1.0},
        },
    }
    graph[sampler] = {
        "class_type": "SamplerCustomAdvanced",
        "inputs": {
            "noise": ["91", 0],
            "guider": ["92", 0],
            "sampler": ["93", 0],
            "sigmas": ["94", 0],
            "latent_image": empty,
        },
    }
    for number in [n for n, node in graph.items() if node["class_type"] in ("MotionInversionApply",)] + [train]:
        del graph[number]
    run = server.run(graph)
    assert run.outcome == "execution_success", run.error
