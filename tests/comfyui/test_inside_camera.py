"""Cameras in ComfyUI's own process; `inside` measures, this file judges."""

from __future__ import annotations

import pytest

CHECKS = (
    "camera_is_followed",
    "camera_in_sampling",
    "camera_beside_other_functions",
    "camera_on_any_latents",
    "camera_noise",
    "camera_errors",
)


def test_the_camera_of_a_clip_is_followed(found):
    camera = found["camera_is_followed"]
    assert camera["difference"] == 0 and camera["moves"] > 1 and camera["report"]


def test_ksampler_with_a_camera_equals_the_library(found):
    assert found["camera_in_sampling"]["library"] < 2e-3
    assert found["camera_in_sampling"]["effect"] > 0.1
    assert found["camera_in_sampling"]["other_way"] > 0.1


@pytest.mark.parametrize("when", ["strength_0", "one_frame", "original"])
def test_without_a_camera_the_model_is_bit_identical(found, when):
    assert found["camera_in_sampling"][when] == 0


def test_functions_of_other_nodes_stay_and_the_given_model_keeps_only_them(found):
    beside = found["camera_beside_other_functions"]
    assert beside["called"] == 2
    assert beside["on_given"] == 1 and beside["on_original"] == 0
    assert beside["effect"] > 0.1 and beside["given"] == 0


def test_the_camera_acts_on_latents_of_every_form(found):
    latents = found["camera_on_any_latents"]
    assert latents["videos"] < 1e-4 and latents["frames_in_batch"] < 1e-4
    assert latents["half"]["torch.float16"] < 0.01 and latents["half"]["torch.bfloat16"] < 0.05
    assert latents["dtypes"]
    assert latents["one_frame"] == 0
    assert latents["gradient"] > 0
    assert max(latents["apart"]) < 0.05 < 0.5 < min(latents["around"])


@pytest.mark.parametrize("sampled_as", ["eps", "flow"])
def test_the_camera_acts_in_its_part_of_sampling(found, sampled_as):
    acting = found["camera_on_any_latents"]["acting"]
    parts = {"usual": (0, 0.9), "whole": (0, 1), "late": (0.5, 1)}
    for part, (start, end) in parts.items():
        for percent in (0.0, 0.4, 0.6, 0.95, 1.0):
            assert acting[f"{part} {percent} {sampled_as}"] == (start <= percent <= end), (part, percent)


def test_camera_noise_is_white_and_the_librarys(found):
    noise = found["camera_noise"]
    assert noise["library"] == 0 and noise["again"] == 0 and noise["flow_noise"] == 0
    assert noise["other_seed"] > 1 and noise["seed"] == 5
    assert abs(noise["deviation"] - 1) < 0.02 and abs(noise["mean"]) < 0.02
    assert noise["still"] == 0
    assert noise["several"] == [2, 4, 6, 12, 20] and noise["half"] == "torch.float16"
    assert "Over 8 frames" in noise["report"] and "standard deviation" in noise["report"]


def test_camera_noise_as_latent_samples_like_noise(found):
    assert found["camera_noise"]["latent"] < 0.01
    assert "connect NOISE to SamplerCustomAdvanced" in found["camera_noise"]["flow"]


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        ("nothing to follow", "it needs a background with a texture"),
        ("one frame", "needs at least 2"),
        ("no opencv", "pip install opencv-python-headless"),
        ("too strong", "it must be a number from 0.0 to 1.0"),
        ("start after end", "start 0.9 and end 0.2"),
        ("packed", "use a MODEL that makes videos without sound"),
    ],
)
def test_bad_input_for_a_camera_is_one_sentence(found, attempt, words):
    sentence = found["camera_errors"][attempt]
    assert words in sentence
    assert "\n" not in sentence
