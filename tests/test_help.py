"""A setting is explained once, at its field; command line and help pages say the same. (The nodes' tooltips are made of
the same texts, and tests/comfyui asks for one at every input.)"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from motion_lib.camera.alignment import CameraAlignment
from motion_lib.camera.path import AMOUNT_HELP
from motion_lib.cli import generate, imagine, train
from motion_lib.diffusion.frame_noise import PRIOR_HELP, SIMILARITY_HELP
from motion_lib.diffusion.noise import NOISE_HELP, RENORMALISE_HELP
from motion_lib.frames_from_images.momentum import Momentum
from motion_lib.help import help_of
from motion_lib.method.application import Application
from motion_lib.method.patch import MotionPatch
from motion_lib.training.presets import Preset
from motion_lib.training.settings import TrainingSettings
from motion_lib.video import ClipOptions

PAGES = Path(__file__).parents[1] / "nodes" / "web" / "docs"
TRAINING = help_of(Preset) | help_of(TrainingSettings)
APPLIED, CAMERA, CLIP = help_of(MotionPatch), help_of(CameraAlignment), help_of(ClipOptions)
MOMENTUM = help_of(Momentum)
# What each page says of inputs that are settings of the library, by the names of the inputs.
SAID = {
    "Train": {name: TRAINING[name] for name in ("steps", "seed")},
    "TrainingOptions": {
        name: TRAINING[name]
        for name in (
            *("learning_rate", "loss", "components", "train_debias", "lr_schedule", "integration"),
            *("qk_axes", "v_axes", "sites", "motion_mask", "timestep_bias"),
        )
    },
    "ApplyAdvanced": {
        **{name: APPLIED[name] for name in ("strength_qk", "strength_v", "debias", "frame_curve")},
        **{"start_percent": APPLIED["start"], "end_percent": APPLIED["end"], "strength_curve": APPLIED["curve"]},
    },
    "ApplyCameraMotion": {
        **{"amount": AMOUNT_HELP, "strength": CAMERA["strength"], "prompt_emphasis": CAMERA["emphasis"]},
        **{"start_percent": CAMERA["start"], "end_percent": CAMERA["end"]},
    },
    "CameraNoise": {"amount": AMOUNT_HELP},
    "MixNoise": {"weight": help_of(Application)["noise_weight"], "method": NOISE_HELP, "renormalise": RENORMALISE_HELP},
    "FrameNoise": {"prior": PRIOR_HELP, "similarity": SIMILARITY_HELP},
    "MomentumAttention": {
        **{"momentum": MOMENTUM["momentum"], "scales": MOMENTUM["scales"]},
        **{"start_percent": MOMENTUM["start"], "end_percent": MOMENTUM["end"]},
    },
    "PrepareClip": {name: CLIP[name] for name in ("force_rate", "skip_first_frames", "select_every_nth", "fit")},
}


@dataclass
class Example:
    """Of a class."""

    plain: int = 1
    first: int = 2
    """One line."""
    second: int = 3
    """Two
    lines."""

    def method(self) -> None:
        """Of a method."""


def test_docstrings_under_fields_are_read() -> None:
    assert help_of(Example) == {"first": "One line.", "second": "Two lines."}


@pytest.mark.parametrize("kind", [TrainingSettings, MotionPatch, CameraAlignment, ClipOptions, Momentum])
def test_every_setting_is_explained(kind: type) -> None:
    named = {field.name for field in fields(kind)} - {"embedding", "path"}
    assert {name for name, text in help_of(kind).items() if text.endswith(".")} == named


def plain(text: str) -> str:
    """Without Markdown's marks and line breaks."""
    return " ".join(re.sub(r"[*`]", "", text).split())


@pytest.mark.parametrize("page", SAID)
def test_help_pages_say_what_the_field_says(page: str) -> None:
    text = (PAGES / f"MotionInversion{page}.md").read_text(encoding="utf-8")
    found = {
        name: plain(said)
        for name, said in re.findall(
            r"^- \*\*(\w+)\*\*(?: \(\w+\))?: (.*?)(?=^- |^#|\Z)", text, re.DOTALL | re.MULTILINE
        )
    }
    for name, said in SAID[page].items():
        assert found[name].startswith(plain(said)), name


@pytest.mark.parametrize(("command", "texts"), [(train, TRAINING), (generate, APPLIED), (imagine, MOMENTUM)])
def test_the_command_line_says_what_the_field_says(command, texts: dict[str, str]) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    said = {action.dest: action.help or "" for action in parser._actions}
    shared = (texts.keys() & said.keys()) - {"seed"}  # which every command has, for all that is drawn
    assert len(shared) >= min(7, len(texts))
    assert [name for name in sorted(shared) if not said[name].startswith(texts[name])] == []
