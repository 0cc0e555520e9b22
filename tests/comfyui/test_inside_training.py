"""Training, inversion and kept results, in ComfyUI's own process; `inside` measures, this file judges."""

from __future__ import annotations

import pytest

CHECKS = (
    "training_gradients",
    "planning",
    "training_choices",
    "hybrid_training",
    "results_are_kept",
    "inversion_returns",
    "results_are_kept_by_content",
    "names_of_results",
    "core_training_finds_the_model",
)


def test_training_gradients_agree_however_the_weights_are_kept(found):
    gradients = found["training_gradients"]
    assert gradients["size"] > 0
    assert gradients["recomputed"] < 1e-7
    assert gradients["cast_dtype"] == "torch.float16"
    assert gradients["cast"] > 0.999
    assert gradients["low_dtype"] == "torch.bfloat16"
    assert min(gradients["low"]) > 0.98
    assert gradients["offloaded"] < 1e-3


def test_the_faster_pass_has_the_same_gradients(found):
    """As on a GPU: through the layers' own weights, and through weights that are cast or moved in for each call."""
    gradients = found["training_gradients"]
    assert gradients["used_as_plain"] == 1
    assert max(gradients[name] for name in ("faster", "faster_cast", "faster_offloaded")) < 1e-5 * gradients["size"]


def test_on_a_gpu_training_takes_what_memory_allows(found):
    plans = found["planning"]
    if not plans["kernels"]:
        pytest.skip("this host has no Triton")
    everything = ["feed_forward", "transformer", "convolution"]
    assert plans["off"][:3] == plans["plenty"][:3] == ["fast", [], True]
    assert plans["on"][:3] == plans["little"][:3] == ["low_memory", everything, True]
    assert 0 < len(plans["between"][1]) < 3
    assert plans["on"][3] < plans["between"][3] < plans["off"][3]
    assert plans["words"].startswith("Training mode fast: about") and plans["still"]
    assert plans["cpu"].startswith("Training mode plain: about")
    assert plans["records"] == {"native": True, "cudaMallocAsync": False}


@pytest.mark.parametrize("again", ["False", "True"])
def test_diffusers_own_pass_takes_what_was_said_before(found, again):
    """What is counted without data, of what the first step on the CPU holds, before the optimiser has its moments."""
    assert 1 <= found["planning"]["counted"][again] < 1.6


def test_training_leaves_the_model_as_it_was(found):
    assert found["training_gradients"]["after"] == 0
    assert not found["training_gradients"]["training_mode"]


def test_training_choices_change_what_they_name(found):
    assert found["training_choices"]["by_default"] is True
    assert found["training_choices"]["wrong"] == []


def test_hybrid_training_in_a_region_leaves_nothing_behind(found):
    hybrid = found["hybrid_training"]
    assert hybrid["steps"] == 3 and hybrid["size"] > 0
    assert hybrid["strange"] == []
    assert hybrid["after"] == 0


def test_what_was_learned_is_reused_while_nothing_changes_that_decides_it(found):
    kept = found["results_are_kept"]
    assert kept["first"] and kept["again"] and kept["replaced"] and kept["earlier"]
    assert kept["others"] == [True] * 6


def test_inverted_noise_samples_back_to_the_clip(found):
    inversion = found["inversion_returns"]
    assert inversion["error"] < inversion["library_error"] + 0.02
    assert 0.5 < inversion["spread"] < 1.5


def test_inversion_is_reused_from_disk(found):
    assert found["inversion_returns"]["reused"] == 0
    assert found["inversion_returns"]["again_seconds"] < 1


def test_noise_as_latent_samples_like_noise(found):
    assert found["inversion_returns"]["latent_output"] < 0.05  # of latents with a spread of 5


def test_a_copy_of_a_model_finds_what_was_learned_with_it(found):
    keys = found["results_are_kept_by_content"]
    assert keys["copy"] == keys["original"] != keys["other"]


def test_results_of_earlier_versions_are_still_found_by_their_names(found):
    """As named by the version in which they were first kept so: a class or a field that is called otherwise, or one
    field more, would lose them."""
    assert found["names_of_results"].items() >= {
        ("process", "6aa6ea6cf4ff936481e9ae117830dee3"),
        ("motion", "8f2203b25383672bd3790b4bdfee1b81"),
        ("settings", "9497dbbdf463fec4647b65e830084739"),
    }


def test_core_nodes_can_reload_the_model(found):
    assert found["core_training_finds_the_model"]["difference"] == 0
