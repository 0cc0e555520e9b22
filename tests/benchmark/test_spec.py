"""Methods with changed settings."""

from __future__ import annotations

import pytest

from motion_lib.benchmark.methods import METHODS
from motion_lib.benchmark.methods.spec import chosen_methods, settings_of
from motion_lib.errors import MotionError


def test_settings_reach_where_they_belong() -> None:
    spec = "object:learning_rate=0.1,timesteps=200-900,sites=all,end=1,noise=fft,renormalise=True,velocity_weight=False"
    settings = settings_of(chosen_methods([spec])[spec])
    assert settings["learning_rate"] == 0.1 and settings["timesteps"] == (200, 900) and settings["sites"] == "all"
    assert settings["end"] == 1.0 and isinstance(settings["end"], float)
    assert settings["noise"] == "fft" and settings["renormalise"] is True and settings["velocity_weight"] is False
    untouched = settings_of(METHODS["object"])
    assert {key for key in settings if settings[key] != untouched[key]} == {
        "learning_rate",
        "timesteps",
        "sites",
        "end",
        "noise",
        "renormalise",
        "velocity_weight",
    }


def test_what_is_left_to_the_model_can_be_a_word_or_nothing() -> None:
    read = [settings_of(m)["picture"] for m in chosen_methods(["object:picture=own", "object:picture=None"]).values()]
    assert read == ["own", None]


def test_settings_for_all_skip_those_that_have_none() -> None:
    methods = chosen_methods(["no_motion", "object", "temporal_lora", "object:steps=7"], ["steps=5"])
    assert [settings_of(m).get("steps") for m in methods.values()] == [None, 5, 5, 7]


@pytest.mark.parametrize(
    ("specs", "settings", "sentence"),
    [
        (["objekt"], [], "no method 'objekt' for this model: choose from truth, no_motion"),
        (["object:speed=3"], [], "has no setting 'speed'; it has .*learning_rate"),
        (["object:steps"], [], "'steps' is not a setting"),
        (["object:steps=many"], [], "steps is 150 and cannot become 'many'"),
        (["object:steps=0"], [], "steps is 0, but training needs at least 1"),
        (["no_motion"], ["steps=3"], "No chosen method has a setting 'steps'"),
        (["object:renormalise=3"], [], "renormalise is False and cannot become '3'"),
    ],
)
def test_bad_settings_are_explained(specs: list[str], settings: list[str], sentence: str) -> None:
    with pytest.raises(MotionError, match=sentence):
        chosen_methods(specs, settings)
