"""What a file says of itself is checked where it is read and before it is written, and nowhere else."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from motion_lib.bundled.samples import SAMPLES
from motion_lib.errors import MotionError
from motion_lib.files.details import APPLY, FIELDS, MADE_FROM, SETTINGS, checked, read_details, written_details
from motion_lib.files.embedding_file import header_of, load_embedding, save_embedding
from motion_lib.method.algebra import LOOPS, MIRRORS, loop, mirror, retime, reverse
from motion_lib.method.latent_edits import EDITS
from motion_lib.method.records import Advice, Edit, Origin
from motion_lib.training.presets import PRESETS
from motion_lib.training.provenance import origin_of
from motion_lib.training.settings import TrainingSettings
from tests.tiny import random_embedding, said_by, tiny_backbone

HUGE = 10**400
WRONG = [
    ({"model": 5}, "details.model is 5, but it should be a text"),
    ({"prompt": ["a", "b"]}, "details.prompt"),
    ({"preset": None}, "details.preset is None"),
    ({"fps": "8"}, "details.fps is 8, but it should be a number above 0"),
    ({"fps": 0}, "details.fps"),
    ({"fps": True}, "details.fps is True"),
    ({"fps": HUGE}, "details.fps"),
    ({"fps": math.inf}, "details.fps is inf"),
    ({"fps": math.nan}, "details.fps is nan"),
    ({"trained_steps": -1}, "details.trained_steps is -1"),
    ({"trained_steps": 1e300}, "details.trained_steps"),
    ({"losses": 3}, "details.losses"),
    ({"losses": [0.1, HUGE]}, "details.losses"),
    ({"score": HUGE}, "details.score"),
    ({"apply": "all"}, "details.apply is all, but it should be an object"),
    ({"apply": {"end": 7.0}}, "details.apply.end is 7.0, but it should be a number from 0 to 1"),
    ({"apply": {"noise_weight": "much"}}, "details.apply.noise_weight"),
    ({"apply": {"noise_weight": 1.5}}, "details.apply.noise_weight"),
    ({"apply": {"strength_v": HUGE}}, "details.apply.strength_v"),
    ({"apply": {"debias": 3}}, "details.apply.debias is 3, but it should be one of vanilla"),
    ({"apply": {"debias": ["vanilla"]}}, "details.apply.debias"),
    ({"apply": {"camera_end": -0.1}}, "details.apply.camera_end"),
    ({"reading": [1.0]}, "details.reading"),
    ({"reading": {"by": 3}}, "details.reading.by is 3, but it should be a text"),
    ({"reading": {"distance": math.nan}}, "details.reading.distance is nan"),
    ({"reading": {"words": {"object": 1}}}, "details.reading.words"),
    ({"reading": {"object": [0.1, math.inf]}}, "details.reading.object"),
    ({"reading": {"camera": [0.1] * 100_000}}, "details.reading.camera"),
    ({"made_from": 3}, "details.made_from is 3"),
    ({"made_from": ["mirror"]}, r"details.made_from\[0\] is mirror"),
    ({"made_from": [{}]}, r"details.made_from\[0\]"),
    ({"made_from": [{"edit": ["mirror"]}]}, r"details.made_from\[0\]"),
    ({"made_from": [{"edit": "reverse"}, {"edit": "mirror", "axis": "up"}]}, r"details.made_from\[1\].axis is up"),
    ({"made_from": [{"edit": "mirror"}]}, r"details.made_from\[0\].axis is None"),
    ({"made_from": [{"edit": "retime", "speed": "fast"}]}, r"details.made_from\[0\].speed"),
    ({"made_from": [{"edit": "retime", "speed": HUGE}]}, r"details.made_from\[0\].speed"),
    ({"made_from": [{"edit": "loop", "how": "twice"}]}, r"details.made_from\[0\].how is twice"),
    ({"made_from": [{"edit": "reverse"}] * 1001}, "details.made_from is .* a list of at most 1000 edits"),
    ({"made_from": [{"edit": "place", "right": 0, "down": 2, "zoom": 1}]}, r"details.made_from\[0\].down is 2"),
    ({"made_from": [{"edit": "place", "right": 0, "down": 0, "zoom": 0}]}, r"details.made_from\[0\].zoom is 0"),
    ({"starts_at": [0.5, 0.5]}, "details.starts_at is .* three numbers"),
    ({"starts_at": [0.5, 0.5, HUGE]}, "details.starts_at"),
    ({"clip_sha256": 5}, "details.clip_sha256 is 5, but it should be a text"),
    ({"model_sha256": None}, "details.model_sha256 is None"),
    ({"input_hashes": {"clip": 5}}, "details.input_hashes is .* an object of texts"),
    ({"input_hashes": "clip"}, "details.input_hashes is clip"),
    ({"scored_by": "a star"}, "details.scored_by is a star, but it should be a list of texts"),
    ({"scored_by": [1]}, "details.scored_by"),
    ({"final_loss": "low"}, "details.final_loss is low"),
    ({"grid_guessed": 1}, "details.grid_guessed is 1, but it should be true or false"),
    ({"steps": 1.5}, "details.steps is 1.5"),
]


def there_and_back(details: dict) -> dict:
    """Through the records."""
    found = written_details(*read_details(details))
    assert json.dumps(found) == json.dumps(details)
    return found


def nested(depth: int) -> dict:
    value: dict = {}
    for _ in range(depth):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize(("details", "message"), WRONG)
def test_fields_that_make_no_sense_are_neither_read_nor_written(tmp_path: Path, details: dict, message: str) -> None:
    embedding = random_embedding(tiny_backbone(), "deep")
    with pytest.raises(MotionError, match=f"^a.safetensors: the header field {message}") as caught:
        save_embedding(tmp_path / "a.safetensors", replace(embedding, origin=Origin(others=details)))
    assert list(tmp_path.iterdir()) == [] and len(str(caught.value)) < 300
    save_embedding(tmp_path / "a.safetensors", embedding)
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        header = {**file.metadata(), "details": json.dumps(details)}
    save_file(load_file(tmp_path / "a.safetensors"), tmp_path / "a.safetensors", header)
    with pytest.raises(MotionError, match=f"^a.safetensors: the header field {message}"):
        load_embedding(tmp_path / "a.safetensors")


def test_depth() -> None:
    assert there_and_back(nested(90)) == nested(90)
    with pytest.raises(MotionError, match="details is nested more than 200 levels deep"):
        read_details(nested(110))


def test_fields_that_are_not_known_are_kept_as_they_are() -> None:
    found = {"colour": None, "a": [1, 2.5, True, {"b": "c"}], "big": 10**30, "apply": {"mood": 3}}
    found["made_from"] = [{"edit": "turned by a later version", "angle": 90}]
    assert there_and_back(found) == found


EMPTY = [{}, {"apply": {}}, {"made_from": []}, {"losses": [], "scored_by": [], "input_hashes": {}}, {"title": ""}]


@pytest.mark.parametrize("details", EMPTY)
def test_what_is_there_and_empty_stays_there(details: dict) -> None:
    assert there_and_back(details) == details


def test_records_hold_what_a_file_says() -> None:
    details = {"later": 3, "title": "a", "steps": 7, "apply": {"end": 0.5, "mood": 3}, "losses": [1, 0.5]}
    details["made_from"] = [{"edit": "mirror", "axis": "vertical"}]
    origin, advice = read_details(details)
    assert (origin.title, origin.steps, origin.losses) == ("a", 7, (1, 0.5))
    assert (origin.settings, origin.others) == ({"steps": 7}, {"later": 3})
    assert origin.made_from == (Edit("mirror", {"axis": "vertical"}),)
    assert advice == Advice(end=0.5, others={"mood": 3})
    changed = written_details(replace(origin, title=None, score=0.5), replace(advice, start=0.1))
    assert list(changed) == ["later", "steps", "apply", "losses", "made_from", "score"]
    assert changed["apply"] == {"end": 0.5, "mood": 3, "start": 0.1}


FILES = [*sorted(Path(__file__).with_name("data").glob("*.safetensors"))]
FILES += [path for sample in SAMPLES.values() if (path := sample.path.with_suffix(".safetensors")).is_file()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_that_is_read_and_written_again_says_the_same(path: Path) -> None:
    """To the byte, in the order in which it was said."""
    with safe_open(path, "pt") as file:
        before = file.metadata()
    after = header_of(load_embedding(path))
    plain = {name: text for name, text in before.items() if name not in ("compression", "library_version")}
    assert {name: after[name] for name in plain} == plain
    assert after.keys() - plain.keys() == {"library_version"}


def test_halves_of_surrogate_pairs_are_replaced_wherever_they_are(tmp_path: Path) -> None:
    """As in the name of a clip that is not UTF-8, which is where its title comes from."""
    details = {"title": "a\udcff", "source": "\ud800b", "deep": [{"\udfff": "\ud83d\ude00"}]}
    save_embedding(
        tmp_path / "a.safetensors", replace(random_embedding(tiny_backbone(), "deep"), origin=Origin(others=details))
    )
    found = load_embedding(tmp_path / "a.safetensors")
    assert said_by(found) == {"title": "a\ufffd", "source": "\ufffdb", "deep": [{"\ufffd": "\U0001f600"}]}


@pytest.mark.parametrize("name", PRESETS)
def test_what_this_library_writes_is_in_order(name: str) -> None:
    origin = origin_of(frames=None, fps=8.0, source="a", prompt="x", model="m", preset=name, chosen=PRESETS[name])
    advice = PRESETS[name].application.advice()
    assert checked(origin, advice) == (origin, advice)


def test_every_edit_and_setting_is_known() -> None:
    assert set(MADE_FROM) == set(EDITS)
    records, kept = {"others", "order"}, {"settings", "made_from"}
    assert set(APPLY) == {entry.name for entry in fields(Advice)} - records
    assert set(FIELDS) - {"steps"} == {entry.name for entry in fields(Origin)} - records - kept
    assert {entry.name for entry in fields(TrainingSettings)} <= set(SETTINGS)
    edited = random_embedding(tiny_backbone())
    for axis in MIRRORS:
        edited = mirror(edited, axis)
    for how in LOOPS:
        edited = loop(edited, how)
    edited = retime(reverse(edited), 0.3)
    assert checked(edited.origin, edited.advice) == (edited.origin, edited.advice)
