"""Models, patches, sampling and edits of the nodes, in ComfyUI's own process; `inside` measures, this file judges."""

from __future__ import annotations

import pytest

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
    "motion_is_read",
    "clip_is_redrawn",
    "motion_is_found",
    "errors",
)


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
    assert found["edits_equal_library"]["moved"] == 0 < found["edits_equal_library"]["moved_at_all"]


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


def test_a_motion_is_read_in_one_pass_and_its_camera_of_another_clip(found):
    read = found["motion_is_read"]
    assert read["difference"] == 0 and read["preset"] == ["object", "camera", "hybrid"]
    assert read["object_kept"] and read["camera_taken"] and read["camera"] == 0
    assert read["still"] < 0.1 < 0.5 < read["moves"]
    assert read["patches"] == 1 and read["held"] == "ModelPatcher"
    assert "preset object" in read["report"][0] and "stands still" in read["report"][1]
    assert "The clip has 1 frame" in read["one_frame"]


def test_a_clip_in_a_strange_look_is_drawn_again_by_the_model(found):
    drawn = found["clip_is_redrawn"]
    assert drawn["familiar"] == [False, True] and drawn["paths"][0] < 0.5 and drawn["paths"][1] > 0.95
    assert any("as sprite_t2v draws it again" in line for line in drawn["by_the_node"])


def test_a_motion_is_found_by_likeness_and_by_words(found):
    search = found["motion_is_found"]
    assert search["like_pan"] and search["looks_again"]
    assert "pan.safetensors" in search["words"] and "eight.safetensors" in search["object"]
    for name in ("neither", "both"):
        assert search[name].startswith("MotionError: Say what to find")
    assert "rank is 9, but 2 of" in search["beyond"] and "the words known are" in search["unknown"]
