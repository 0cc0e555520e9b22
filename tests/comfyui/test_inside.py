"""What the nodes compute, inside ComfyUI's own process; `inside` measures, this file judges."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from .conftest import THREADS
from .host import prepare_base

CHECKS = (
    "import_time",
    "prediction_equals_library",
    "patched_equals_library",
    "sampling_equals_library",
    "text_equals_library",
    "images_equal_library",
    "previews_have_the_right_colours",
    "unpatched_stays_identical",
    "patches_compose",
    "hooks_equal_model_patch",
    "lora_and_patch",
    "context_windows",
    "compiled",
    "faster_sampling",
    "diffusers_pass_instead",
    "stopped_runs",
    "weights_elsewhere",
    "edits_equal_library",
    "combinations_equal_library",
    "curves_equal_library",
    "noises_equal_library",
    "report_of_leak_and_prompt",
    "camera_is_followed",
    "camera_in_sampling",
    "camera_beside_other_functions",
    "camera_on_any_latents",
    "camera_noise",
    "camera_errors",
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
    "wan_equals_library",
    "wan_in_sampling",
    "wan_beside_others",
    "wan_in_newer_hosts",
    "wan_errors",
    "wan_learns_as_the_library",
    "wan_inverts_as_the_library",
    "wan_learns_in_other_weights",
    "wan_learns_in_scaled_weights",
    "wan_results_are_kept",
    "training_gradients",
    "planning",
    "training_choices",
    "hybrid_training",
    "results_are_kept",
    "inversion_returns",
    "results_are_kept_by_content",
    "names_of_results",
    "core_training_finds_the_model",
    "errors",
)


@pytest.fixture(scope="module")
def found(host: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict:
    base = tmp_path_factory.mktemp("inside")
    prepare_base(base)
    folder, python = host
    script = Path(__file__).with_name("inside")
    done = subprocess.run(
        [str(python), str(script), str(folder), str(base), *CHECKS],
        capture_output=True,
        text=True,
        env={**os.environ, **THREADS},
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads(done.stdout.splitlines()[-1])
    print({name: check["took"] for name, check in result.items()})
    return result


def test_importing_the_pack_imports_neither_diffusers_nor_opencv(found):
    assert not {"diffusers", "cv2"} & set(found["import_time"]["modules"])


@pytest.mark.parametrize("timestep", ["0", "250", "500", "999"])
def test_prediction_equals_the_library(found, timestep):
    assert found["prediction_equals_library"][timestep] < 1e-4


def test_patched_prediction_equals_the_library(found):
    assert found["patched_equals_library"]["difference"] < 1e-4
    assert found["patched_equals_library"]["effect"] > 0.1


def test_ksampler_with_a_patch_equals_the_library(found):
    # ComfyUI replaces the infinite sigma of a schedule that ends in pure noise by 4518.
    assert found["sampling_equals_library"]["difference"] < 2e-3 * found["sampling_equals_library"]["scale"]


def test_text_encoder_equals_the_library(found):
    assert found["text_equals_library"]["difference"] < 1e-4


def test_autoencoder_equals_the_library(found):
    assert found["images_equal_library"]["encode"] < 1e-4
    assert found["images_equal_library"]["decode"] < 0.51  # of 255: the library rounds to whole numbers


def test_sampler_previews_show_the_colours_of_the_clip(found):
    assert found["previews_have_the_right_colours"]["error"] < 0.1


@pytest.mark.parametrize("when", ["after", "at_strength_0"])
def test_model_without_a_patch_is_bit_identical(found, when):
    assert found["unpatched_stays_identical"][when] == 0
    assert found["unpatched_stays_identical"]["effect"] > 0.1


def test_a_patch_survives_an_exception_elsewhere(found):
    assert found["unpatched_stays_identical"]["effect_again"] == found["unpatched_stays_identical"]["effect"]


def test_patches_compose(found):
    assert found["patches_compose"]["difference"] < 1e-4


def test_a_hook_on_a_conditioning_equals_a_patched_model(found):
    assert found["hooks_equal_model_patch"]["difference"] == 0
    assert found["hooks_equal_model_patch"]["effect"] > 0.1


def test_lora_acts_under_a_patch_and_goes(found):
    assert found["lora_and_patch"]["lora_effect"] > 1e-6
    assert found["lora_and_patch"]["lora_under_patch"] > 1e-6
    assert found["lora_and_patch"]["after"] == 0


def test_context_windows_take_the_rows_of_their_frames(found):
    assert found["context_windows"]["difference"] == 0


def test_torch_compile_sees_the_patch(found):
    assert found["compiled"]["patched"] < 1e-4
    assert found["compiled"]["unpatched"] < 1e-4
    assert found["compiled"]["faster_pass"] == 0


@pytest.mark.parametrize(
    "what",
    [
        "guidance",
        "no guidance",
        "patch",
        "patch in a part",
        "patch on a hook",
        "LoRA",
        "LoRA and patch",
        "LoRA on a hook",
        "video as 5D",
        "inversion",
    ],
)
def test_the_faster_pass_samples_what_diffusers_does(found, what):
    """The tolerance is float32's over several steps with guidance; what a LoRA changes is ten times that."""
    case = found["faster_sampling"][what]
    assert case["off"] < 1e-4
    assert case["fast"] > 0 and case["diffusers"] == 0 and case["over"]


def test_after_faster_sampling_the_model_is_bit_identical(found):
    assert found["faster_sampling"]["lora_effect"] > 1e-3
    assert found["faster_sampling"]["after"] == 0


@pytest.mark.parametrize(
    "what",
    [
        "weight wrapper",
        "object patch",
        "hook of a module",
        "forward of a module",
        "processor",
        "gradients",
        "not in a run",
    ],
)
def test_what_the_faster_pass_would_not_see_is_left_to_diffusers(found, what):
    case = found["diffusers_pass_instead"][what]
    assert case["difference"] == 0
    assert case["fast"] == 0 and case["diffusers"] > 0 and case["over"]
    assert found["diffusers_pass_instead"]["effects"].get(what, 1) > 1e-3


def test_after_other_changes_the_model_is_bit_identical(found):
    assert found["diffusers_pass_instead"]["effects"]["after"] == 0


@pytest.mark.parametrize("what", ["cast", "moved in"])
def test_weights_that_do_not_lie_still_are_left_to_diffusers(found, what):
    assert found["weights_elsewhere"]["cast_dtype"] == "torch.float16"
    case = found["weights_elsewhere"][what]
    assert case["difference"] == 0 and case["fast"] == 0 and case["diffusers"] > 0


def test_a_run_that_fails_or_is_interrupted_leaves_nothing(found):
    stopped = found["stopped_runs"]
    assert stopped["after_failure"] and stopped["interrupted"] and stopped["over"]
    assert stopped["fast"] == 1 and stopped["diffusers"] == 0 and stopped["copied"]


def test_edits_equal_the_library(found):
    assert found["edits_equal_library"]["difference"] == 0
    assert found["edits_equal_library"]["by_default"] == 0
    assert found["edits_equal_library"]["effect"] > 0.1


def test_noise_follows_the_edits_made_here_and_no_earlier_ones(found):
    edits = found["edits_equal_library"]
    assert edits["noise"] == 0 and edits["noise_back"] == 0
    assert edits["history"] == ["mirror", "reverse", "mirror", "reverse"]


def test_combinations_equal_the_library(found):
    combinations = {name: value for name, value in found["combinations_equal_library"].items() if name != "took"}
    assert combinations.pop("tested") == sorted(combinations)
    assert set(combinations.values()) == {0}


def test_curves_equal_the_library(found):
    assert found["curves_equal_library"]["difference"] == 0
    assert found["curves_equal_library"]["effect"] > 0.1


def test_every_start_noise_equals_the_library(found):
    noises = {name: value for name, value in found["noises_equal_library"].items() if name != "took"}
    assert len(noises) >= 10 and max(noises.values()) < 1e-5


def test_the_report_speaks_of_leak_and_prompt(found):
    texts = found["report_of_leak_and_prompt"]
    assert "Appearance leak 1.00" in texts["same"] and "Appearance leak 0.00" in texts["none"]
    assert "Prompt, middle frame: shape right, colour right" in texts["same"]
    assert "colour wrong" in texts["none"]
    assert "leak" not in texts["plain"] and "Prompt" not in texts["plain"]


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


def test_a_value_that_comes_from_another_node_is_checked_when_it_is_there(found):
    assert found["errors"]["linked"] is True


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        ("no folder", "There is no model folder"),
        ("wrong shape", "encode the clip's frames with the VAE of Load Motion Video Model"),
        ("no conditioning", "connect CLIP Text Encode"),
        ("clean noise", "connect Invert Video to Noise"),
        ("gone", "There is no motion embedding gone.safetensors"),
        ("outside", "must be a file name inside models/motion_embeddings"),
        ("absolute", "must be a file name inside models/motion_embeddings"),
        ("NUL", "must be a file name inside models/motion_embeddings"),
        ("half a character", "must be a file name inside models/motion_embeddings"),
        ("embedding outside", "There is no motion embedding"),
        ("embedding above", "There is no motion embedding"),
        ("clip outside", "There is no sample clip"),
        ("clip above", "There is no sample clip"),
        ("model outside", "There is no model"),
        ("no rate", "image_rate is 0.0, but it must be a number from 0.1 to 240.0"),
        ("no choice", "compress is .., but it must be one of no, 2, 4, 8"),
        ("no text", "it must be one of blend, inversion"),
        ("no share", "end_percent is nan, but it must be a number from 0.0 to 1.0"),
        ("no frames", "latent has the shape [0, 4, 8, 8] and the type torch.float32, which is no LATENT"),
        ("no region", "region has the shape [1, 0, 0]"),
        ("other text", "The CONDITIONING has the shape [1, 5, 9], but [1, tokens, 96] is needed"),
        ("beyond memory", "at most 10000 frames"),
        ("short clip", "use a longer clip, or lower frames"),
        ("other model", "connect one from Load Motion Video Model, or a text-to-video"),
        ("other widths", "does not fit"),
    ],
)
def test_bad_input_is_one_sentence_with_a_remedy(found, attempt, words):
    sentence = found["errors"][attempt]
    assert words in sentence
    assert "\n" not in sentence


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


def test_motions_on_wan_beside_replacements_and_overrides(found):
    beside = of_wan(found, "wan_beside_others")
    assert beside["difference"] == 0
    assert (beside["block"], beside["attention"]) == (1, 12)  # two attentions in each of six blocks


def test_motions_on_wan_whose_attention_is_called_as_in_newer_hosts(found):
    newer = of_wan(found, "wan_in_newer_hosts")
    assert newer["moved"] == newer["plain"] == 0
    assert (newer["overridden"], newer["calls"]) == (
        4,
        24,
    )  # of both attentions, in two of six blocks, in one of two calls


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
        ("a preset for cameras", "camera is not made for wan"),
    ],
)
def test_what_cannot_be_done_on_wan_is_said(found, what, said):
    assert said in of_wan(found, "wan_errors")[what]


@pytest.mark.parametrize("memory", ["off", "on", "auto"])
def test_a_motion_is_learned_on_wan_as_in_the_library(found, memory):
    learned = of_wan(found, "wan_learns_as_the_library")[memory]
    assert learned["losses"] < 1e-5
    assert learned["difference"] < 5e-3 * learned["size"]  # AdamW divides rounding by rounding
    assert ("computing blocks twice" in learned["plan"]) == (memory == "on")


def test_less_memory_is_needed_when_blocks_are_computed_twice(found):
    learned = of_wan(found, "wan_learns_as_the_library")
    assert 0 < learned["on"]["needed"] < 0.7 * learned["off"]["needed"]


def test_wan_is_inverted_as_in_the_library_and_samples_back(found):
    inverted = of_wan(found, "wan_inverts_as_the_library")
    assert inverted["difference"] < 1e-4
    assert inverted["back"] < 0.15 * inverted["clip"]


@pytest.mark.parametrize("weights", ["other", "scaled"])
def test_wan_in_weights_of_8_bits_learns_the_same(found, weights):
    learned = of_wan(found, f"wan_learns_in_{weights}_weights")
    assert learned["difference"] < 1e-5 * learned["size"]


def test_results_on_wan_are_found_again_and_not_mixed_up(found):
    kept = of_wan(found, "wan_results_are_kept")
    assert all(kept["same"])
    assert not any(kept["others"].values())
