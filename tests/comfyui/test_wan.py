"""The workflows for Wan in a real ComfyUI, with small random models in the place of the real ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from motion_lib.bundled.samples import SAMPLES
from motion_lib.files.embedding_file import load_embedding
from motion_lib.sprites.checker import check_frames
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


def shortened(name: str) -> dict[str, Any]:
    """A workflow on the bundled Wan, with 17 frames and few steps."""
    graph = json.loads((PACK / "workflows" / "api" / f"{name}.json").read_text())
    few = {
        "MotionInversionPrepareClip": {"frames": 17},
        "EmptyHunyuanLatentVideo": {"length": 17},
        "WanImageToVideo": {"length": 17},
        "MotionInversionTrain": {"steps": 2},
        "KSampler": {"steps": 10 if name.startswith("8_") else 2},
    }
    for node in graph.values():
        node["inputs"] |= few.get(node["class_type"], {})
    return graph


def frames_of(server, run) -> list[torch.Tensor]:
    """Videos `[f, 3, h, w]` in [0, 1], in the order in which they were saved."""
    assert run.outcome == "execution_success", run.error
    files = [server.file(entry) for output in run.outputs.values() for entry in output.get("images", ())]
    return [read_clip(file).frames.permute(0, 3, 1, 2) / 255 for file in sorted(files)]


def test_the_bundled_wan_shows_what_texts_and_pictures_say(server):
    """By stock loaders and samplers, all but the text encoder's."""
    picture, text = frames_of(server, server.run(shortened("8_small_wan_text_or_picture_to_video")))
    found = check_frames(text)[8].words
    assert (found.colour, found.tone, found.texture) == ("blue", "beige", "striped")
    given = read_clip(SAMPLES["camera_pan"].path).frames[0].permute(2, 0, 1) / 255
    assert -10 * (picture[0] - given).square().mean().log10() > 28
    last = check_frames(picture)[-1].words
    assert (last.colour, last.tone) == ("yellow", "navy")


@pytest.mark.parametrize("name", ["9_motion_on_a_small_wan", "10_motion_on_a_small_wan_from_a_picture"])
def test_a_motion_on_the_bundled_wan(host, server, name):
    run = server.run(shortened(name))
    if version_of(host[0]) < LEARNS:
        assert "update it to 0.28 or newer" in run.error["exception_message"]
        return
    (video,) = frames_of(server, run)
    assert video.shape == (17, 3, 128, 128)
