"""Where an embedding comes from when it is learned, and that it is applied as its file says."""

from __future__ import annotations

import base64
import io
from dataclasses import fields, replace

import pytest
import torch
from PIL import Image

from motion_lib.errors import MotionError
from motion_lib.method.application import APPLICATIONS, PATCH, SAMPLING, Application, usual_patch
from motion_lib.method.embedding import Backbone, MotionEmbedding, Site
from motion_lib.method.patch import MotionPatch
from motion_lib.method.records import Advice
from motion_lib.training.presets import PRESETS
from motion_lib.training.provenance import origin_of, thumbnail
from tests.tiny import saying

EMBEDDING = MotionEmbedding.zeros(Backbone("tiny", (Site("layer", 4, 0, "down"),)), "all", 2, (2, 2))


def described(**details) -> MotionEmbedding:
    return saying(EMBEDDING, details)


def settings(patch) -> dict:
    return {name: getattr(patch, name) for name in PATCH}


@pytest.mark.parametrize("name", list(PRESETS))
def test_what_is_learned_with_a_preset_is_applied_as_the_preset_says(name):
    frames = torch.zeros(3, 16, 24, 3, dtype=torch.uint8)
    chosen = PRESETS[name]
    origin = origin_of(frames=frames, fps=8.0, source="a.mp4", prompt="x", model="m", preset=name, chosen=chosen)
    assert (origin.title, origin.width, origin.height) == (f"a.mp4 ({name})", 24, 16)
    assert origin.settings == chosen.settings.recorded() and origin.steps == chosen.settings.steps
    learned = replace(EMBEDDING, origin=origin, advice=chosen.application.advice())
    assert usual_patch(learned) == chosen.patch(learned)
    silent = replace(EMBEDDING, origin=origin)
    assert settings(usual_patch(silent)) == settings(chosen.patch(silent))


def test_every_preset_has_a_way_of_applying_and_every_field_its_place():
    assert {name: entry.application for name, entry in PRESETS.items()} == APPLICATIONS
    names = [entry.name for entry in fields(Application)]
    assert names == [*PATCH, *SAMPLING] and {*PATCH} < {entry.name for entry in fields(MotionPatch)}
    assert names == [entry.name for entry in fields(Advice) if entry.name not in ("others", "order")]
    application = Application(end=0.3, objects=0.2)
    assert Application().heeding(application.advice()) == application == application.heeding(Advice())


def test_what_is_not_known_is_left_out():
    found = origin_of(
        frames=None, fps=None, source="clip", prompt=None, model="m", preset="object", chosen=PRESETS["object"]
    )
    assert not {"thumbnail", "clip_sha256", "fps", "width", "height", "prompt"} & found.said().keys()


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
        origin_of(frames=None, fps=0.0, source="a", prompt=None, model="m", preset="object", chosen=PRESETS["object"])


def test_thumbnail_is_a_strip_of_the_first_to_the_last_frame():
    frames = torch.zeros(9, 32, 32, 3, dtype=torch.uint8)
    frames[0, ..., 0] = frames[-1, ..., 2] = 255
    picture = Image.open(io.BytesIO(base64.b64decode(thumbnail(frames).partition(",")[2])))
    assert picture.size == (4 * 32, 32)
    assert picture.getpixel((16, 16))[0] > 200
    assert picture.getpixel((112, 16))[2] > 200
