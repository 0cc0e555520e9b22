"""Motions on Wan in ComfyUI's own process; `inside` measures, this file judges."""

from __future__ import annotations

import pytest

CHECKS = (
    "wan_equals_library",
    "wan_in_sampling",
    "wan_compiled",
    "wan_by_hooks",
    "wan_beside_others",
    "wan_in_newer_hosts",
    "wan_errors",
    "wan_learns_as_the_library",
    "wan_learns_in_moved_weights",
    "wan_learns_from_several_clips",
    "wan_inverts_as_the_library",
    "wan_learns_in_other_weights",
    "wan_learns_in_scaled_weights",
    "wan_results_are_kept",
)


def of_wan(found, check):
    for why in ("skipped", "too_old"):
        if why in found[check]:
            pytest.skip(found[check][why])
    return found[check]


@pytest.mark.parametrize("what", ["none", "both", "value, of low rank", "query-key", "two"])
def test_motions_on_wan_equal_the_library(found, what):
    case = of_wan(found, "wan_equals_library")[what]
    assert case["difference"] < 1e-5
    assert what == "none" or case["effect"] > 1e-2


def test_motions_on_wan_in_sampling(found):
    sampling = of_wan(found, "wan_in_sampling")
    assert sampling["effect"] == sampling["effect_again"] > 1e-2
    assert 0 < sampling["early"] < sampling["effect"]
    assert sampling["shifted"] > 1e-2
    assert sampling["strength_0"] == sampling["after"] == 0


def test_motions_on_a_compiled_wan(found):
    compiled = of_wan(found, "wan_compiled")
    assert not any(compiled["differences"].values())
    assert compiled["graphs"] > 0 == compiled["again"]


@pytest.mark.parametrize("scope", ["AllConditioning", "HookedOnly"])
def test_motions_on_wan_by_hooks_of_a_conditioning(found, scope):
    hooked = of_wan(found, "wan_by_hooks")
    assert hooked["effect"] > 1e-2
    assert hooked[scope]["alone"] == 0
    assert hooked[scope]["beside another"] < 1e-5  # the two are added in another order
    assert hooked["after"] == 0


def test_motions_on_wan_beside_replacements_and_overrides(found):
    beside = of_wan(found, "wan_beside_others")
    assert beside["difference"] == 0
    assert (beside["block"], beside["attention"]) == (1, 12)  # two attentions in each of six blocks


def test_motions_on_wan_whose_attention_is_called_as_in_newer_hosts(found):
    newer = of_wan(found, "wan_in_newer_hosts")
    assert newer["moved"] == newer["plain"] == 0
    # Of both attentions, in two of six blocks, in one of two calls.
    assert (newer["overridden"], newer["calls"]) == (4, 24)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("another family", "was trained for unet3d"),
        ("multiplied", "integration add or concatenate"),
        ("query-key with places", "qk_axes none"),
        ("the latents of an image", "the VAE of this Wan model"),
        ("no words", "connect CLIP Text Encode, with an empty text"),
        ("another text encoder", "the text encoder of this Wan model"),
        ("more than a picture", "holds context_latents"),
        ("another noise process", "flow matching"),
        ("a camera's path", "Camera motion cannot be held in this MODEL"),
        ("weights on the move", "use Load Diffusion Model, or start ComfyUI with --disable-dynamic-vram"),
        ("a preset for cameras", "camera is not made for wan"),
    ],
)
def test_what_cannot_be_done_on_wan_is_said(found, what, said):
    errors = of_wan(found, "wan_errors")
    if what not in errors:
        pytest.skip("this ComfyUI takes no notice of them")
    assert said in errors[what]


@pytest.mark.parametrize("memory", ["off", "on", "auto"])
def test_a_motion_is_learned_on_wan_as_in_the_library(found, memory):
    learned = of_wan(found, "wan_learns_as_the_library")[memory]
    assert learned["losses"] < 1e-5
    assert learned["difference"] < 5e-3 * learned["size"]  # AdamW divides rounding by rounding
    assert ("computing blocks twice" in learned["plan"]) == (memory == "on")


def test_weights_that_the_host_has_moved_are_learned_and_inverted_with(found):
    moved = of_wan(found, "wan_learns_in_moved_weights")
    assert moved["noise"] == moved["gradient"] == 0 < moved["size"]


def test_less_memory_is_needed_when_blocks_are_computed_twice(found):
    learned = of_wan(found, "wan_learns_as_the_library")
    assert 0 < learned["on"]["needed"] < 0.7 * learned["off"]["needed"]


def test_wan_is_inverted_as_in_the_library_and_samples_back(found):
    inverted = of_wan(found, "wan_inverts_as_the_library")
    assert inverted["difference"] < 1e-4
    assert inverted["back"] < 0.15 * inverted["clip"]


def test_one_motion_is_learned_from_several_clips_as_in_the_library(found):
    learned = of_wan(found, "wan_learns_from_several_clips")
    assert learned["losses"] < 1e-5 and learned["difference"] < 5e-3 * learned["size"]
    number, lengths, one = learned["said"]
    assert "3 clips" in number and "2 parts" in number and "lengths" in lengths and "[1, 16," in one


@pytest.mark.parametrize("weights", ["other", "scaled"])
def test_wan_in_weights_of_8_bits_learns_the_same(found, weights):
    learned = of_wan(found, f"wan_learns_in_{weights}_weights")
    assert max(learned["difference"], learned.get("packed", 0.0)) < 1e-5 * learned["size"]


def test_results_on_wan_are_found_again_and_not_mixed_up(found):
    kept = of_wan(found, "wan_results_are_kept")
    assert all(kept["same"])
    assert not any(kept["others"].values())
