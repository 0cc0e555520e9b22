"""The benchmark of edits: what its trials ask for, and that the right motion is what scores."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import Tensor

from motion_lib.benchmark import edit_trials
from motion_lib.benchmark.cases import Case, as_frames, rendered_case
from motion_lib.benchmark.edit_trials import EDITS, TRIALS, Bench, Trial, object_trials
from motion_lib.cli.benchmark import edits
from motion_lib.cli.benchmark.edits import COLUMNS, markdown, scores
from motion_lib.method import algebra
from motion_lib.method.embedding import MotionEmbedding
from motion_lib.metrics.camera import true_camera
from motion_lib.sprites import render
from motion_lib.training.presets import Preset
from tests.tiny import random_embedding, tiny_backbone


@dataclass(frozen=True)
class Dry(Bench):
    """Everything but the model: embeddings are random, and the noise of a clip is its thumbnail."""

    def learn(self, case: Case, chosen: Preset) -> MotionEmbedding:
        return random_embedding(tiny_backbone(), "deep", 16, (16, 16), chosen.components)

    def inverted(self, latents: Tensor) -> Tensor:
        return latents


def thumbnail(frames: Tensor) -> Tensor:
    small = frames[:, ::8, ::8].permute(3, 0, 1, 2)[None].float()
    return torch.cat([small, small[:, :1]], dim=1) / 255


def dry(videos: int = 2) -> Dry:
    model = SimpleNamespace(encode_video=thumbnail)
    return Dry(model, videos, steps=1)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", TRIALS)
def test_contract_of_the_trials(name: str) -> None:
    found = list(TRIALS[name](dry()))
    assert len({(t.motion, t.edit, t.way) for t in found}) == len(found) >= 4
    for trial in found:
        frames = trial.noise.shape[2]
        assert trial.noise.shape[:3] == (2, 4, frames) and torch.isfinite(trial.noise).all()
        assert len(trial.prompts) == 2 and trial.path.shape == trial.learned.shape == (frames, 2)
        for patch in trial.patches:
            patch.prepare(frames, (8, 8), "cpu", torch.float32)
    # Noise alone already carries much of a motion: no table is honest without it.
    assert name == "limits" or any(not trial.patches for trial in found)


def test_noise_goes_along_with_the_edit_except_where_it_should_not() -> None:
    """A share of it is the clip's, mirrored; the rest is fresh, and the same in every row."""
    bench = dry()
    rows = {(t.edit, t.way): t for t in object_trials(bench, "spiral")}
    latents = thumbnail(rendered_case("spiral", 2).frames)
    fresh = rows["as learned", "embedding alone"].noise
    weight = bench.preset.application.noise_weight
    for way, clip in (("as advised", latents.flip(-1)), ("noise of the clip as it was", latents)):
        torch.testing.assert_close(
            rows["mirror horizontal", way].noise, weight**0.5 * clip + (1 - weight) ** 0.5 * fresh
        )
    assert torch.equal(rows["mirror horizontal", "embedding alone"].noise, fresh)
    assert ("scale 0.5", "noise of the clip as it was") not in rows


@pytest.mark.parametrize("edit", EDITS)
def test_the_edited_motion_scores_and_the_unedited_does_not(edit: str) -> None:
    """A rendered video that moves as the edited truth says: path 1, extent 1; shape and texture as its words say."""
    case = rendered_case("spiral", 1)
    scenes = case.truth
    assert scenes is not None
    learned = scenes.position[0]
    path = EDITS[edit][1](learned)
    video = as_frames(render(replace(scenes, position=path[None]))[0])
    trial = Trial("spiral", edit, "true", (case.prompt,), torch.zeros(1, 4, 16, 16, 16), (), path, learned)
    found = scores(trial, [video])
    assert found["path"] > 0.99 and found["extent"] == pytest.approx(1, abs=0.05)
    assert found["shape"] == found["texture"] == 1
    if not torch.equal(path, learned) and not edit.startswith("retime"):
        assert found["unedited"] < 0.8
    if edit == "retime 2":
        assert found["late"] < 0.05


def test_paths_by_hand() -> None:
    path = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, -1.0]])
    changed = {name: change(path).tolist() for name, (_, change) in EDITS.items()}
    assert changed["mirror horizontal"] == [[0, 1], [-2, 3], [-4, -1]]
    assert changed["mirror vertical"] == [[0, -1], [2, -3], [4, 1]]
    assert changed["reverse"] == [[4, -1], [2, 3], [0, 1]]
    assert changed["retime 2"] == [[0, 1], [4, -1], [4, -1]]
    assert changed["retime 0.5"] == [[0, 1], [1, 2], [2, 3]]
    assert changed["loop there_and_back"] == [[0, 1], [4, -1], [0, 1]]


def test_camera_of_the_truth_scores() -> None:
    case = rendered_case("pan", 1)
    assert case.truth is not None
    path = torch.linspace(-1, 1, 32).reshape(16, 2)
    camera = true_camera(case.truth, 0)
    trial = Trial("pan", "x", "true", (case.prompt,), torch.zeros(1, 4, 16, 16, 16), (), path, path, camera)
    found = scores(trial, [case.frames])
    assert found["camera"] > 0.95 and abs(found["path"]) < 0.2  # it stays


def test_a_motion_is_learned_once() -> None:
    bench = dry()
    case = rendered_case("spiral", 2)
    assert bench.object(case) is bench.object(case)


def test_markdown() -> None:
    rows = [
        {"motion": "spiral", "edit": "reverse", "way": "x", "path": 0.5, "shape": 1.0},
        {"motion": "pan", "edit": "add", "way": "y", "path": 0.25, "camera": 0.125},
    ]
    text = list(markdown(rows))
    assert "| reverse | x | 0.50 | 1.00 |" in text and "| edit | how | path | camera |" in text
    assert set(COLUMNS) > {"path", "camera"}


def test_the_command_writes_table_numbers_and_picture(
    folder: str, model, case: Case, tmp_path: Path, monkeypatch
) -> None:
    assert case.truth is not None
    path, latents = case.truth.position[0], model.encode_video(case.frames)
    noise = torch.randn(2, *latents.shape[1:], generator=torch.Generator().manual_seed(0))
    trial = Trial("figure_eight", "as learned", "noise alone", case.prompts, noise, (), path, path)
    monkeypatch.setitem(TRIALS, "spiral", lambda bench: iter([trial]))
    parser = argparse.ArgumentParser()
    edits.add_arguments(parser)
    options = ["--trials", "spiral", "--sampling-steps", "1", "--workers", "1", "--model", folder]
    edits.run(parser.parse_args([*options, "--out", str(tmp_path), "--device", "cpu"]))
    rows = json.loads((tmp_path / "edits.json").read_text())
    assert [(row["motion"], row["edit"], row["way"]) for row in rows] == [("figure_eight", "as learned", "noise alone")]
    assert all(-1 <= rows[0][name] <= 1 for name in ("path", "unedited", "late", "shape", "texture"))
    assert "| as learned | noise alone |" in (tmp_path / "edits.md").read_text()
    assert Image.open(tmp_path / "edits.png").size[0] > 60


def test_every_edit_is_of_the_algebra() -> None:
    embedding = random_embedding(tiny_backbone(), "deep", 16, (16, 16))
    for name, (change, _) in EDITS.items():
        made = change(embedding).origin.made_from
        assert bool(made) == (name != "as learned")
    assert edit_trials.alone(algebra.reverse(embedding)).debias == "vanilla"
