"""The recipe: motions, clips by groups with their truth, and a training that stops, carries on, and learns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from motion_lib.backbones.model import VideoModel
from motion_lib.backbones.unet3d import family
from motion_lib.bundled.models import SamplingDefaults
from motion_lib.codes.codes_file import load_codes
from motion_lib.codes.design import Design
from motion_lib.diffusion.schedulers import process_of
from motion_lib.sprites import render
from motion_lib.sprites.groups.clips import GROUP, GroupMaker, truth_of
from motion_lib.sprites.groups.motions import FASTEST, REACH, random_cameras, random_objects
from motion_lib.sprites.recipe.codes import export, train
from motion_lib.sprites.recipe.codes.lesson import WEIGHTS, Lesson
from motion_lib.sprites.recipe.codes.store import GroupStore

from .conftest import SMALL

FRAMES = 4
DESIGN: dict[str, Any] = SMALL | {"frames": FRAMES, "hidden": 32, "width": 16}


class Pictures:
    """An autoencoder that takes means of pixels for latents."""

    channels, pixels_per_latent, scale = 4, 8, 1.0

    def __init__(self) -> None:
        self.vae = SimpleNamespace(encode=self._encoded, parameters=lambda: iter([torch.zeros(1)]))

    def _encoded(self, pixels: torch.Tensor) -> Any:
        small = F.adaptive_avg_pool2d(pixels, 8)
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=torch.cat([small, small.mean(1, keepdim=True)], 1)))

    def latent_frames(self, frames: int) -> int:
        return frames


@pytest.fixture(scope="module")
def model() -> VideoModel:
    tiny = family.tiny(torch.float32, process_of({"_class_name": "DDIMScheduler"}, "test"))
    text = SimpleNamespace(encode=lambda prompts: torch.zeros(len(prompts), 3, 8))
    usual = SamplingDefaults(frames=FRAMES, width=64, height=64)
    parts: dict[str, Any] = {"denoiser": tiny.denoiser, "codec": Pictures(), "text": text}
    return VideoModel(name="tiny", defaults=usual, device=torch.device("cpu"), dtype=torch.float32, **parts)


@pytest.fixture
def training(model: VideoModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    monkeypatch.setattr(train, "load_model", lambda *given: model)
    monkeypatch.setattr(export, "load_model", lambda *given: model)

    def run(steps: int, **changes: Any) -> Path:
        given = {"batch": 1, "rate": 1e-3, "first": 2, "most": 3, "renew": 1, "sites": "all"} | DESIGN | changes
        train.train(tmp_path, steps, 0.0, "cpu", **given)
        return tmp_path / train.STATE

    yield run


def test_objects_stay_in_sight_and_cameras_begin_at_the_origin() -> None:
    objects = random_objects(300, 16, torch.Generator().manual_seed(1))
    assert float(objects.position.abs().max()) <= REACH + 1e-5
    assert float(objects.position.diff(dim=1).norm(dim=-1).max()) <= FASTEST + 1e-5
    cameras = random_cameras(300, 16, torch.Generator().manual_seed(1))
    assert not cameras.camera[:, 0].any() and not cameras.roll[:, 0].any() and bool((cameras.zoom[:, 0] == 1).all())
    still = cameras.camera.flatten(1).abs().amax(dim=1) + cameras.zoom.log().abs().amax(dim=1) < 1e-6
    assert 0.15 < float(still.float().mean()) < 0.45
    again = random_objects(300, 16, torch.Generator().manual_seed(1))
    assert torch.equal(objects.position, again.position)


def test_a_group_is_two_paths_under_two_cameras_in_two_looks(model: VideoModel, monkeypatch) -> None:
    """The scenes that are rendered move as the group's truth says, in looks that are drawn for every clip."""
    from motion_lib.sprites.groups import clips

    shown: list[Any] = []
    monkeypatch.setattr(clips, "render", lambda scenes, size: shown.append(scenes) or render(scenes, size))
    groups = GroupMaker(model).make(2, 7)
    (scenes,) = shown
    assert len(scenes) == 2 * GROUP and groups.frames.shape == (2, 2, 2, 2, FRAMES, 3, 64, 64)
    path, _ = truth_of(groups, "path")
    assert torch.equal(path, scenes.position)
    camera, seen = truth_of(groups, "camera")
    assert torch.equal(camera[..., :2], scenes.camera) and torch.allclose(camera[..., 2].exp(), scenes.zoom)
    names = [scenes.words(i).texture for i in range(len(scenes))]
    assert seen.tolist() == [name in clips.SHOW_THE_CAMERA for name in names]
    paths = groups.path
    assert not torch.equal(paths[0, 0], paths[0, 1]) and not torch.equal(paths[0], paths[1])
    assert len({tuple(look) for look in groups.look.flatten(0, 3).tolist()}) > GROUP
    angle, _ = truth_of(groups, "angle")
    assert torch.allclose(angle[..., 0], scenes.angle - scenes.angle[:, :1], atol=1e-6)


def test_the_store_grows_to_its_size_and_is_then_renewed(model: VideoModel) -> None:
    store = GroupStore(GroupMaker(model), first=1, most=2, renew=1, start=0)
    assert store.count == 1 and store.held is not None
    oldest = store.held.path[0].clone()
    generator = torch.Generator().manual_seed(0)
    for _ in range(GroupStore.EVERY):
        drawn = store.draw(1, generator)
    assert store.count == 2 and torch.equal(store.held.path[0], oldest)
    for _ in range(GroupStore.EVERY):
        drawn = store.draw(2, generator)
    assert store.count == 2 and not torch.equal(store.held.path[0], oldest)
    assert len(drawn) == 2 and not torch.equal(drawn.path[0], drawn.path[1])


def test_a_training_that_was_stopped_carries_on_and_its_file_reads(training, tmp_path: Path, capsys) -> None:
    state = training(2)
    assert torch.load(state, weights_only=True)["step"] == 2
    training(5)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert torch.load(state, weights_only=True)["step"] == 5
    assert told[0]["parameters"] > 0
    file, light = tmp_path / "codes.safetensors", tmp_path / "light.pt"
    export.export(tmp_path, file, "cpu", 2, light)
    reader = load_codes(file)
    assert reader.model == "tiny" and reader.codes.design == Design(**DESIGN)
    assert light.stat().st_size < 0.4 * state.stat().st_size
    light.replace(state)  # training carries on from it as well
    training(6)
    assert torch.load(state, weights_only=True)["step"] == 6


@pytest.mark.parametrize("encoder", ["linear", "vq", "transformer"])
def test_every_loss_reaches_what_it_teaches(model: VideoModel, encoder: str) -> None:
    codes = train.new_codes(Design(**(DESIGN | {"encoder": encoder})), model, "all")
    with torch.no_grad():
        for p in codes.parameters():  # what begins at zero hides what comes before it
            if p.ndim > 1 and not p.any():
                p.normal_(std=0.1)
    groups = GroupMaker(model).make(2, 3)
    found = Lesson(model.denoiser, torch.zeros(1, 3, 8))(codes, groups, torch.Generator().manual_seed(0))
    assert set(found) == {name for name in WEIGHTS if name != "codebook" or encoder == "vq"} | {"loss"}
    assert all(bool(loss.isfinite()) for loss in found.values())
    found["loss"].backward()
    left = {name for name, p in codes.named_parameters() if p.grad is None or not p.grad.any()}
    assert left == {name for name, _ in codes.named_parameters() if name.startswith("steps.")}  # fitted afterwards


def test_labels_and_losses_can_be_left_out(model: VideoModel) -> None:
    codes = train.new_codes(Design(**DESIGN), model, "all")
    groups = GroupMaker(model).make(1, 3)
    few = {name: weight if name in ("denoising", "path") else 0.0 for name, weight in WEIGHTS.items()}
    lesson = Lesson(model.denoiser, torch.zeros(1, 3, 8), weights=few)
    assert set(lesson(codes, groups, torch.Generator())) == {"denoising", "path", "loss"}
    lesson.labels = 0.0
    assert set(lesson(codes, groups, torch.Generator())) == {"denoising", "loss"}


def test_paths_are_learned(model: VideoModel) -> None:
    """Small as it is, it learns to tell where the object is: R² above a half of clips that it is trained on."""
    codes = train.new_codes(Design(**DESIGN), model, "all")
    groups = GroupMaker(model).make(4, 11)
    weights = {name: 1.0 if name == "path" else 0.0 for name in WEIGHTS}
    lesson = Lesson(model.denoiser, torch.zeros(1, 3, 8), weights=weights)
    optimizer, generator = train.new_optimizer(codes, 3e-3, False), torch.Generator().manual_seed(0)
    before = train.shares(codes, groups)["path"]
    for _ in range(60):
        optimizer.zero_grad()
        lesson(codes, groups, generator)["loss"].backward()
        optimizer.step()
    assert train.shares(codes, groups)["path"] > 0.5 > before
