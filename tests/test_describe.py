"""What a file says of itself, and that it is applied as it says."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import pytest
import torch
from PIL import Image

from motion_lib.errors import MotionError
from motion_lib.method.embedding import Backbone, MotionEmbedding, TemporalLayer
from motion_lib.training.presets import APPLICATION, PRESETS
from motion_lib.training.provenance import details_of, thumbnail, usual_patch

EMBEDDING = MotionEmbedding.zeros(Backbone("tiny", (TemporalLayer("layer", 4, 0, "down"),)), "all", 2, (2, 2))


def described(**details) -> MotionEmbedding:
    return replace(EMBEDDING, details=details)


def settings(patch) -> dict:
    return {name: getattr(patch, name) for name in APPLICATION}


@pytest.mark.parametrize("name", list(PRESETS))
def test_details_of_a_preset_lead_back_to_its_way_of_applying(name):
    frames = torch.zeros(3, 16, 24, 3, dtype=torch.uint8)
    chosen = PRESETS[name]
    found = details_of(frames=frames, fps=8.0, source="a.mp4", prompt="x", model="m", preset=name, chosen=chosen)
    assert (found["title"], found["width"], found["height"]) == (f"a.mp4 ({name})", 24, 16)
    assert found["apply"]["noise_weight"] == chosen.noise_weight
    assert usual_patch(described(**found)) == chosen.patch(described(**found))


def test_what_is_not_known_is_left_out():
    found = details_of(
        frames=None, fps=None, source="clip", prompt=None, model="m", preset="object", chosen=PRESETS["object"]
    )
    assert not {"thumbnail", "clip_sha256", "fps", "width", "height", "prompt"} & found.keys()


def test_the_file_is_heard_before_the_preset_and_the_preset_before_the_usual():
    assert settings(usual_patch(described(preset="camera", apply={"end": 0.3}))) == {
        **settings(PRESETS["camera"].patch(EMBEDDING)),
        "end": 0.3,
    }
    assert settings(usual_patch(EMBEDDING)) == settings(PRESETS["object"].patch(EMBEDDING))


def test_strength_multiplies_both():
    patch = usual_patch(described(apply={"strength_qk": 0.5, "strength_v": 2}), 0.5)
    assert (patch.strength_qk, patch.strength_v) == (0.25, 1.0)


def test_what_the_file_and_its_preset_say_must_go_together():
    with pytest.raises(MotionError, match="must satisfy"):
        usual_patch(described(preset="object", apply={"start": 0.9}))


def test_what_could_not_be_written_is_refused_before_anything_is_learned():
    with pytest.raises(MotionError, match=r"fps is 0\.0, but it should be a number above 0"):
        details_of(frames=None, fps=0.0, source="a", prompt=None, model="m", preset="object", chosen=PRESETS["object"])


def test_thumbnail_is_a_strip_of_the_first_to_the_last_frame():
    frames = torch.zeros(9, 32, 32, 3, dtype=torch.uint8)
    frames[0, ..., 0] = frames[-1, ..., 2] = 255
    picture = Image.open(io.BytesIO(base64.b64decode(thumbnail(frames).partition(",")[2])))
    assert picture.size == (4 * 32, 32)
    assert picture.getpixel((16, 16))[0] > 200
    assert picture.getpixel((112, 16))[2] > 200
