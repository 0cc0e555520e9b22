"""What makes two runs one: everything that decides what is learned, and nothing else."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from motion_lib.bundled.models import BUNDLED
from motion_lib.files.details import SETTINGS
from motion_lib.files.embedding_file import load_embedding, save_embedding
from motion_lib.training.identity import difference, identity_hash, model_hash
from motion_lib.training.presets import preset
from motion_lib.training.settings import TrainingSettings
from tests.tiny import said_by, saying, tiny_backbone

MODEL = BUNDLED["sprite_t2v"][0]
ENTRY = preset("object")


def learned(entry=ENTRY, **details):
    """As it was begun, and said so."""
    said = {"clip_sha256": "1", "prompt": "a cat", "model": "sprite_t2v", "preset": "object", "title": "x"}
    empty = entry.empty(tiny_backbone(), 3, (5, 6))
    return saying(empty, {**said, "model_sha256": "3", **entry.settings.recorded(), **details})


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"sites": "all"}, "sites"),
        ({"components": "qk"}, "components"),
        ({"integration": "concatenate"}, "integration"),
        ({"qk_axes": "full"}, "qk_axes"),
        ({"v_axes": "1d"}, "v_axes"),
    ],
)
def test_what_is_learned(changes: dict, name: str, tmp_path: Path) -> None:
    other = replace(ENTRY, **changes)
    assert difference(learned(), learned(other)) == name and difference(learned(other), learned(other)) is None
    save_embedding(tmp_path / "a.safetensors", learned())
    assert difference(load_embedding(tmp_path / "a.safetensors"), learned()) is None
    assert difference(load_embedding(tmp_path / "a.safetensors"), learned(other)) == name


@pytest.mark.parametrize(
    "changes", [{"steps": 7}, {"final_rate": 0.5}, {"betas": (0.8, 0.9)}, {"clip": 2.0}, {"velocity_weight": False}]
)
def test_how_it_is_learned(changes: dict) -> None:
    other = replace(ENTRY, settings=replace(ENTRY.settings, **changes))
    assert difference(learned(), learned(other)) == next(iter(changes))


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ({"clip_sha256": "2"}, "clip"),
        ({"mask_sha256": "2"}, "mask"),
        ({"prompt": "a dog"}, "prompt"),
        ({"model_sha256": "2"}, "model's weights"),
        ({"scored_by": ["a star"]}, "prompts of --keep-best"),
        ({"title": "y", "date": "1999-01-01"}, None),
    ],
)
def test_what_it_is_learned_from(details: dict, words: str | None) -> None:
    assert difference(learned(), learned(**details)) == difference(learned(**details), learned()) == words


def test_other_words_for_the_same_layers_are_the_same() -> None:
    names = ",".join(learned().layers)
    assert difference(learned(), learned(replace(ENTRY, sites=names))) is None


def test_older_files_are_compared_by_what_they_say() -> None:
    said = said_by(learned())
    kept = {name: said[name] for name in said if name not in (*SETTINGS, "model_sha256") or name in ("steps", "seed")}
    old = saying(learned(), kept)
    assert difference(old, learned()) is None
    assert difference(old, learned(replace(ENTRY, settings=replace(ENTRY.settings, seed=3)))) == "seed"
    assert difference(old, learned(replace(ENTRY, sites="all"))) == "sites"


NODE = {"latents": "1", "text": "2", "weights": "3", "mask": "4"}


@pytest.mark.parametrize("name", NODE)
def test_what_came_into_a_node(name: str) -> None:
    other = learned(input_hashes={**NODE, name: "x"})
    words = {"latents": "clip", "weights": "model's weights"}
    assert difference(learned(input_hashes=NODE), other) == words.get(name, name)
    assert identity_hash(learned(input_hashes=NODE)) != identity_hash(other)


def test_frames_and_words_that_a_node_may_lack_do_not_count_there() -> None:
    before, now = learned(input_hashes=NODE), learned(input_hashes=NODE, clip_sha256="9", prompt="another", date="x")
    assert difference(before, now) is None and identity_hash(before) == identity_hash(now)
    assert difference(learned(), now) is None  # of a version that did not record them
    assert difference(now, learned()) == "clip"


def test_every_choice_changes_the_name_of_a_result() -> None:
    changes: list[dict] = [{"sites": "all"}, {"components": "qk"}, {"integration": "multiply"}, {"qk_axes": "full"}]
    changes += [{"v_axes": "1d"}, {"settings": replace(ENTRY.settings, steps=7)}]
    found = {identity_hash(learned(replace(ENTRY, **change))) for change in ({}, *changes)}
    assert len(found) == 1 + len(changes)


def test_a_setting_that_has_its_usual_value_changes_no_name() -> None:
    entry = replace(ENTRY, settings=TrainingSettings())
    said = said_by(learned(entry))
    older = saying(learned(entry), {name: said[name] for name in said if name != "timestep_bias"})
    assert identity_hash(older) == identity_hash(learned(entry))


def test_a_model_is_known_by_its_weights_and_not_by_its_folder(tmp_path: Path) -> None:
    copy = tmp_path / "another name"
    shutil.copytree(MODEL, copy)
    assert model_hash(copy) == model_hash(MODEL)
    weights = next((copy / "unet").glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[len(content) // 2 :] = bytes(byte ^ 1 for byte in content[len(content) // 2 :])
    weights.write_bytes(content)
    changed = model_hash(copy)
    assert changed != model_hash(MODEL)
    schedule = copy / "scheduler" / "scheduler_config.json"
    schedule.write_text(json.dumps(json.loads(schedule.read_text()) | {"beta_end": 0.02}))
    assert len({changed, model_hash(copy), model_hash(MODEL)}) == 3
