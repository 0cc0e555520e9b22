"""Frames from image models in ComfyUI's own process; `inside` measures, this file judges."""

from __future__ import annotations

import pytest

CHECKS = (
    "momentum_equals_library",
    "momentum_unpatched_stays_identical",
    "momentum_keeps_halves_apart",
    "momentum_beside_other_patches",
    "momentum_beside_controlnet",
    "momentum_in_context_windows",
    "momentum_on_every_kind",
    "frame_noise",
    "frame_errors",
    "bundled_image_model",
)


def test_momentum_on_an_image_model_equals_the_library(found):
    assert len(found["momentum_equals_library"]["differences"]) == 15
    assert max(found["momentum_equals_library"]["differences"].values()) < 1e-5
    assert found["momentum_equals_library"]["effect"] > 0.1


@pytest.mark.parametrize("when", ["after", "zero", "one_frame", "no_such_scale", "not_yet"])
def test_an_image_model_without_momentum_is_bit_identical(found, when):
    assert found["momentum_unpatched_stays_identical"][when] == 0
    assert found["momentum_unpatched_stays_identical"]["effect"] > 0.1
    assert found["momentum_unpatched_stays_identical"]["by_then"] > 1e-4


def test_the_halves_of_guidance_do_not_look_at_each_other(found):
    assert found["momentum_keeps_halves_apart"]["difference"] < 1e-5
    assert found["momentum_keeps_halves_apart"]["halves"] > 0.1


@pytest.mark.parametrize("other", ["lora", "self-attention", "cross-attention", "replaced"])
def test_momentum_acts_beside_what_other_nodes_change(found, other):
    beside = found["momentum_beside_other_patches"]
    assert beside[f"{other} acts"] > 0.1 and beside[f"{other} under momentum"] > 0.1
    assert beside[f"{other} after"] == 0


def test_momentum_in_hypertiles_hooks_and_compiled_models(found):
    beside = found["momentum_beside_other_patches"]
    assert beside["replaced calls"] > 0 and beside["tiled"]
    assert beside["compiled"] < 1e-4 and beside["compiled unpatched"] < 1e-4
    assert beside["hook"] == 0 and beside["after"] == 0


def test_momentum_beside_controlnet(found):
    beside = found["momentum_beside_controlnet"]
    assert beside["control_acts"] > 0.1 and beside["momentum_acts"] > 0.1 and beside["after"] == 0


def test_context_windows_are_videos_of_their_own_to_momentum(found):
    assert found["momentum_in_context_windows"]["difference"] < 1e-3
    assert found["momentum_in_context_windows"]["effect"] > 0.1


@pytest.mark.parametrize("kind", ["SD20", "SDXL"])
def test_momentum_on_other_kinds_of_image_models(found, kind):
    kinds = found["momentum_on_every_kind"][kind]
    assert kinds["effect"] > 0.1 and kinds["zero"] == 0 and kinds["after"] == 0


def test_the_bundled_image_model_is_the_librarys_on_comfyuis_own_unet(found):
    bundled = found["bundled_image_model"]
    cases = [f"{how} {timestep}" for how in ("plain", "momentum", "first") for timestep in (10, 500, 990)]
    assert max(bundled[name] for name in ["text", *cases]) < 1e-4
    assert bundled["pixels"] < 1 / 255  # the library rounds to bytes
    assert bundled["effect"] > 0.1
    assert bundled["parts"] == 22 < bundled["lora"]  # stock names of its layers


def test_frame_noise_is_the_librarys_and_independent_noise_comfyuis_own(found):
    noise = found["frame_noise"]
    assert len(noise["differences"]) >= 4 and max(noise["differences"].values()) == 0
    assert noise["stock"] == 0 and noise["index"] == 0 and noise["seed"] == 5
    assert noise["several"] == [2, 4, 6, 8, 12] and noise["half"] == "torch.float16"
    assert noise["latent"] < 1e-4
    assert noise["report"].startswith("Start noise independent over 6 frames: mean")


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        ("our video model", "but this MODEL is a MotionVideoModel"),
        ("stable video diffusion", "but this MODEL is a SVD_img2vid, which makes videos by itself"),
        ("momentum", "momentum is 1.5, but it must be a number from 0.0 to 1.0"),
        ("no number", "momentum is nan, but it must be a number"),
        ("start after end", "start 0.8 to end 0.2"),
        ("scales", "scales is 'fine', but it must be a list of 1, 2, 4"),
        ("scale 3", "3 is no scale of a layer"),
        ("one frame", "set batch_size of Empty Latent Image"),
        ("similarity", "similarity is 1.5, but it must be a number from 0.0 to 1.0"),
        ("prior", "prior is pink, but it must be one of dependency"),
    ],
)
def test_bad_input_for_frames_is_one_sentence(found, attempt, words):
    sentence = found["frame_errors"][attempt]
    assert words in sentence
    assert "\n" not in sentence
