"""Carrying on from a checkpoint is bit for bit the same as never having stopped; anything else is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from motion_lib.errors import MotionError
from motion_lib.files.embedding_file import load_embedding, save_embedding
from motion_lib.method.embedding import MotionEmbedding
from motion_lib.training.checkpoints import load_checkpoint, save_checkpoint
from motion_lib.training.loop import train
from motion_lib.training.settings import TrainingSettings
from motion_lib.training.state import TrainingState
from tests.tiny import randn, random_embedding, said_by, saying, text, tiny_backbone, tiny_denoiser

SETTINGS = TrainingSettings(steps=6, loss="debiased", timesteps=(100, 999), final_rate=0.3, seed=9)
CLIP = randn(1, 4, 3, 5, 6)


def begin(components: str = "both", settings: TrainingSettings = SETTINGS) -> TrainingState:
    zeros = MotionEmbedding.zeros(tiny_backbone(), "deep", 3, (5, 6), components)
    return TrainingState.start(saying(zeros, {"prompt": "a cat"}), settings, "cpu")


def advance(state: TrainingState, to: int) -> TrainingState:
    for _ in train(tiny_denoiser(), CLIP, text(), state):
        if state.step == to:
            break
    return state


def rewrite(source: Path, target: Path, change) -> Path:
    with safe_open(source, "pt") as file:
        header, tensors = dict(file.metadata()), {k: file.get_tensor(k) for k in file.keys()}
    change(tensors, header)
    save_file(tensors, target, header)
    return target


def retype(tensors: dict, kind: str, dtype: torch.dtype) -> None:
    tensors |= {key: tensor.to(dtype) for key, tensor in tensors.items() if kind in key}


HYBRID = replace(SETTINGS, loss="hybrid", steps=9, seed=3)


@pytest.mark.parametrize("stop", [0, 1, 2, 5])
def test_resuming_a_hybrid_run_is_exact(tmp_path: Path, stop: int) -> None:
    """With its LoRA, which has seen fewer steps than the embedding."""
    whole, first = advance(begin(settings=HYBRID), 9), begin(settings=HYBRID)
    if stop:
        advance(first, stop)
    save_checkpoint(tmp_path / "run.safetensors", first)
    again = load_checkpoint(tmp_path / "run.safetensors", HYBRID, "cpu")
    assert (again.spatial is None) == (stop == 0)
    advance(again, 9)
    assert again.losses == whole.losses
    assert all(torch.equal(t, again.embedding.tensors[k]) for k, t in whole.embedding.tensors.items())
    assert whole.spatial is not None and again.spatial is not None
    for key, tensor in whole.spatial.tensors.items():
        mine = again.spatial.tensors[key]
        assert torch.equal(mine, tensor), key
        before, after = whole.spatial.optimizer.state[tensor], again.spatial.optimizer.state[mine]
        assert set(before) == set(after) and all(torch.equal(before[k], after[k]) for k in before)
    assert float(before["step"]) < 9


def test_the_spatial_lora_never_ends_in_an_embedding_file(tmp_path: Path) -> None:
    state = advance(begin(settings=HYBRID), 3)
    assert state.spatial is not None
    save_embedding(tmp_path / "motion.safetensors", state.embedding)
    plain = advance(begin(settings=replace(HYBRID, loss="debiased")), 3)
    save_embedding(tmp_path / "plain.safetensors", plain.embedding)
    found, expected = (load_embedding(tmp_path / f"{name}.safetensors") for name in ("motion", "plain"))
    assert found.tensors.keys() == expected.tensors.keys() == state.embedding.tensors.keys()
    names = {name for name in state.spatial.tensors} | {name.rpartition(".")[0] for name in state.spatial.tensors}
    content = (tmp_path / "motion.safetensors").read_bytes()
    assert not any(name.encode() in content for name in names)
    assert len(content) == (tmp_path / "plain.safetensors").stat().st_size


def test_a_hybrid_run_without_its_lora_is_incomplete(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "whole.safetensors", advance(begin(settings=HYBRID), 2))

    def lose(tensors: dict, header: dict) -> None:
        for key in [key for key in tensors if key.startswith("spatial/")]:
            del tensors[key]

    with pytest.raises(MotionError, match=r"incomplete checkpoint .*the spatial LoRA"):
        load_checkpoint(rewrite(tmp_path / "whole.safetensors", tmp_path / "half.safetensors", lose), HYBRID, "cpu")


def test_a_checkpoint_from_before_a_setting_existed_has_its_default(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "new.safetensors", advance(begin(), 2))

    def forget(tensors: dict, header: dict) -> None:
        kept = json.loads(header["settings"])
        del kept["lr_schedule"], kept["timestep_bias"]
        header["settings"] = json.dumps(kept)

    old = rewrite(tmp_path / "new.safetensors", tmp_path / "old.safetensors", forget)
    assert advance(load_checkpoint(old, SETTINGS, "cpu"), 6).losses == advance(begin(), 6).losses
    with pytest.raises(MotionError, match=r"timestep_bias 0\.0, but 1\.0 is asked for"):
        load_checkpoint(old, replace(SETTINGS, timestep_bias=1.0), "cpu")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run.safetensors"
    save_checkpoint(path, advance(begin(), 2))
    return path


@pytest.mark.parametrize("components", ["both", "qk"])
@pytest.mark.parametrize("stop", [0, 1, 4, 6])
def test_resuming_is_exact(tmp_path: Path, stop: int, components: str) -> None:
    whole, first = advance(begin(components), 6), begin(components)
    if stop:
        advance(first, stop)
    save_checkpoint(tmp_path / "run.safetensors", first)
    again = load_checkpoint(tmp_path / "run.safetensors", SETTINGS, "cpu")
    assert again.step == stop and again.losses == whole.losses[:stop]
    if stop < 6:
        advance(again, 6)
    assert again.losses == whole.losses and again.step == 6
    assert torch.equal(again.generator.get_state(), whole.generator.get_state())
    assert said_by(again.embedding) == {"prompt": "a cat"} and again.embedding.grids == whole.embedding.grids
    for key, tensor in whole.embedding.tensors.items():
        mine = again.embedding.tensors[key]
        assert torch.equal(mine, tensor), key
        before, after = whole.optimizer.state[tensor], again.optimizer.state[mine]
        assert set(before) == set(after) and all(torch.equal(before[k], after[k]) for k in before)


def test_saving_does_not_disturb_the_run(tmp_path: Path) -> None:
    whole, state = advance(begin(), 6), begin()
    for _ in train(tiny_denoiser(), CLIP, text(), state):
        save_checkpoint(tmp_path / "run.safetensors", state)
    assert state.losses == whole.losses
    assert [f.name for f in tmp_path.iterdir()] == ["run.safetensors"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "mse"}, "loss debiased, but mse is asked for"),
        ({"steps": 7}, "steps 6, but 7"),
        ({"timesteps": (0, 999)}, r"timesteps \[100, 999\], but \(0, 999\)"),
        ({"learning_rate": 0.5}, r"learning_rate 0\.02, but 0\.5"),
        ({"seed": 1}, "seed 9, but 1"),
        ({"velocity_weight": True}, "velocity_weight False, but True"),
    ],
)
def test_other_settings_are_refused(saved: Path, changes: dict, message: str) -> None:
    with pytest.raises(MotionError, match=f"^run.safetensors was trained with {message}"):
        load_checkpoint(saved, replace(SETTINGS, **changes), "cpu")


def test_latents_of_another_shape_are_refused(saved: Path) -> None:
    state = load_checkpoint(saved, SETTINGS, "cpu")
    with pytest.raises(MotionError, match="latents of"):
        next(train(tiny_denoiser(), randn(1, 4, 3, 9, 9), text(), state))


def test_embeddings_and_checkpoints_are_not_taken_for_each_other(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(MotionError, match=r"^run\.safetensors is a motion_checkpoint file, not a motion_emb"):
        load_embedding(saved)
    save_embedding(tmp_path / "m.safetensors", random_embedding(tiny_backbone()))
    with pytest.raises(MotionError, match=r"^m\.safetensors is a motion_embedding file, not a motion_checkpoint file"):
        load_checkpoint(tmp_path / "m.safetensors", SETTINGS, "cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, h: t.pop("generator"), "incomplete checkpoint .*generator"),
        (lambda t, h: t.pop("losses"), "incomplete checkpoint .*losses"),
        (lambda t, h: t.pop(next(k for k in t if "exp_avg_sq" in k)), "incomplete checkpoint .*exp_avg_sq"),
        (lambda t, h: t.update(generator=torch.zeros(3, dtype=torch.uint8)), "incomplete checkpoint"),
        (lambda t, h: t.update(losses=torch.zeros(5)), "field step is 2, but it holds 5 losses"),
        (lambda t, h: t.update({k: torch.zeros(1) for k in t if "exp_avg/" in k}), "another shape"),
        (lambda t, h: t.update(losses=torch.tensor(2.0)), "losses is not a list"),
        *(
            (lambda t, h, kind=kind, dtype=dtype: retype(t, kind, dtype), "does not hold finite values in float32")
            for kind in ("exp_avg/", "exp_avg_sq/", ".qk")
            for dtype in (torch.float64, torch.float16, torch.int8, torch.bool, torch.complex64, torch.float8_e4m3fn)
        ),
        (lambda t, h: t.update({k: v / 0 for k, v in t.items() if "exp_avg/" in k}), "finite values"),
        (lambda t, h: t.update({k: v - 1 for k, v in t.items() if "exp_avg_sq/" in k}), "negative values"),
        (lambda t, h: h.pop("settings"), "field settings is missing"),
        (lambda t, h: h.update(settings="3"), "field settings should be a dict"),
        (lambda t, h: h.update(step='"two"'), "field step should be a int"),
    ],
)
def test_damaged_checkpoints(saved: Path, tmp_path: Path, change, message: str) -> None:
    try:
        path = rewrite(saved, tmp_path / "bad.safetensors", change)
    except KeyError as error:
        if error.args != (torch.complex64,):
            raise
        pytest.skip("this safetensors writes no complex numbers")
    with pytest.raises(MotionError, match=f"^bad.safetensors.*{message}"):
        load_checkpoint(path, SETTINGS, "cpu")
