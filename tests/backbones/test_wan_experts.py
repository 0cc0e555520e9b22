"""Wan 2.2's two experts as one model: each is asked on its side of the boundary, and the motion stays with the one that
learned it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("diffusers", minversion="0.35", reason="older ones have no Wan")

import torch
from safetensors.torch import save_file
from torch import Tensor

from motion_lib.backbones import load_model
from motion_lib.backbones.accelerate.training_modes import accelerated, plan_training
from motion_lib.backbones.wan.denoiser import WanDenoiser
from motion_lib.backbones.wan.experts import HIGH, LOW, TwoExperts
from motion_lib.backbones.wan.tiny import TEXT_WIDTH, tiny_transformer
from motion_lib.cli import main
from motion_lib.diffusion.flow import FlowMatching
from motion_lib.diffusion.schedule import NoiseSchedule
from motion_lib.errors import MotionError
from motion_lib.files.embedding_file import load_embedding
from motion_lib.method.patch import EXPERTS, MotionPatch
from motion_lib.training.identity import difference, model_hash
from motion_lib.training.loop import TrainingRun, train, train_together
from motion_lib.training.presets import STACKED
from motion_lib.training.settings import TrainingSettings
from motion_lib.training.state import TrainingState
from motion_lib.video import write_video
from tests.backbones.folders import FEW_LEVELS, build
from tests.backbones.test_wan_files import transformer, weights
from tests.backbones.test_wan_folder import CLIP, as_diffusers_saves_it, as_single_files
from tests.tiny import randn, random_embedding

FLOW = FlowMatching(1000, 3.0, boundary=0.9)
TEXT = randn(1, 3, TEXT_WIDTH, seed=7)
X = randn(1, 4, 3, 4, 6)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("models") / "unet", FEW_LEVELS)


def two() -> TwoExperts:
    return TwoExperts(*(WanDenoiser(tiny_transformer(seed=seed), FLOW) for seed in (1, 2)))


def at(*times: float) -> Tensor:
    return torch.tensor(times)


@pytest.mark.parametrize(("time", "name"), [(1000.0, HIGH), (900.0, HIGH), (899.9, LOW), (1.0, LOW)])
def test_each_is_asked_on_its_side(time: float, name: str) -> None:
    model = two()
    assert torch.equal(model(X, at(time), TEXT), model.experts[name](X, at(time), TEXT))
    motion = random_embedding(model.backbone, frames=3, size=(4, 6))
    for expert in EXPERTS:
        ready = [MotionPatch(motion, expert=expert).prepare(3, (4, 6), "cpu", torch.float32)]
        moved = model(X, at(time), TEXT, ready)
        acts = expert in (name, "both")
        assert torch.equal(moved, model.experts[name](X, at(time), TEXT, ready if acts else ()))
        assert torch.equal(moved, model(X, at(time), TEXT)) != acts


def test_a_batch_is_asked_of_one_expert() -> None:
    model = two()
    with pytest.raises(MotionError, match="both sides of the boundary"):
        model(X.repeat(2, 1, 1, 1, 1), at(950.0, 100.0), TEXT.repeat(2, 1, 1))


def test_timesteps_follow_the_expert() -> None:
    usual = STACKED["object"].settings
    assert usual.suiting(FLOW, False) == replace(usual, expert=HIGH, timesteps=(900, 999))
    assert replace(usual, expert=LOW).suiting(FLOW, False).timesteps == (800, 899)
    assert replace(usual, expert="both").suiting(FLOW, True) == replace(usual, expert="both", picture="own")
    assert usual.suiting(FlowMatching(), False) == usual
    for settings, process, words in (
        (replace(usual, timesteps=(0, 500)), FLOW, "asked at timesteps 900 to 999, but timesteps are 0 to 500"),
        (replace(usual, expert=LOW), FlowMatching(), "this model has no experts"),
        (replace(usual, picture="own"), FLOW, "takes no first frame"),
    ):
        with pytest.raises(MotionError, match=words):
            settings.suiting(process, False)
    low = replace(usual, expert=LOW).suiting(FLOW, False)
    drawn = torch.cat([low.draw_timesteps(1, FLOW, torch.Generator().manual_seed(seed)) for seed in range(200)])
    assert 800 <= drawn.min() and drawn.max() < 900
    with pytest.raises(MotionError, match="expert is 'mine', but it must be one of high_noise, low_noise, both"):
        TrainingSettings(expert="mine")


class Counting(TwoExperts):
    """Counts which expert is asked."""

    asked: Sequence[str] = ()

    def _asked(self, timesteps, patches):
        found = super()._asked(timesteps, patches)
        self.asked = [*self.asked, found]
        return found


@pytest.mark.parametrize("expert", EXPERTS)
@pytest.mark.parametrize("mode", ["plain", "low_memory"])
def test_the_expert_that_is_asked_for_learns(expert: str, mode: str) -> None:
    model = Counting(*two().experts.values())
    chosen = STACKED["object"]
    settings = replace(chosen.settings, steps=3, expert=expert, timesteps=(0, 999)).suiting(FLOW, False)
    state = TrainingState.start(chosen.empty(model.backbone, 3, (4, 6)), settings, "cpu")
    plan = plan_training(model, mode, X.shape, state.embedding, free=2**40)
    model.asked = ()
    with accelerated(model, plan) as ready:
        assert len(list(train(ready, X, TEXT, state))) == 3
    assert len(model.asked) == 3 and (expert == "both" or {*model.asked} == {expert})
    assert all(float(tensor.detach().abs().max()) > 0 for tensor in state.learned.tensors.values())


def test_timesteps_at_which_nothing_would_be_learned_are_refused() -> None:
    model, chosen = two(), STACKED["object"]
    state = TrainingState.start(chosen.empty(model.backbone, 3, (4, 6)), chosen.settings, "cpu")
    with pytest.raises(MotionError, match="timesteps are 800 to 999, but the expert high_noise, which learns"):
        train(model, X, TEXT, state)
    runs = []
    for expert in (HIGH, LOW):
        settings = replace(chosen.settings, expert=expert, steps=1, timesteps=(0, 999)).suiting(FLOW, False)
        empty = chosen.empty(model.backbone, 3, (4, 6))
        runs.append(TrainingRun(X, TEXT, TrainingState.start(empty, settings, "cpu")))
    with pytest.raises(MotionError, match=r"one expert|share a batch"):
        list(train_together(model, runs))


def test_what_does_not_belong_together() -> None:
    high = WanDenoiser(tiny_transformer(), FLOW)
    with pytest.raises(ValueError, match="of different shapes: num_layers"):
        TwoExperts(high, WanDenoiser(tiny_transformer(num_layers=3), FLOW))
    with pytest.raises(ValueError, match="need a boundary"):
        TwoExperts(*(WanDenoiser(tiny_transformer(), FlowMatching()) for _ in range(2)))
    with pytest.raises(MotionError, match="Two experts are known of models of flow matching"):
        NoiseSchedule.from_config({}).divided(0.9)


def with_two_experts(folder: Path, like: Path) -> Path:
    as_diffusers_saves_it(folder, like)
    tiny_transformer(seed=5, in_channels=16, out_channels=16).save_pretrained(folder / "transformer_2")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline", "boundary_ratio": 0.875}))
    return folder


def test_in_diffusers_layout_on_the_command_line(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, clip = with_two_experts(tmp_path / "wan", folders), tmp_path / "clip.mp4"
    model = load_model(folder)
    assert isinstance(model.denoiser, TwoExperts) and model.denoiser.process == FlowMatching(1000, 3.0, boundary=0.875)
    write_video(clip, CLIP, 8.0)
    size = ["--model", str(folder), "--frames", "5", "--width", "48", "--height", "32", "--device", "cpu"]
    learned = {}
    for expert in (HIGH, "both"):
        out = tmp_path / f"{expert}.safetensors"
        more = [] if expert == HIGH else ["--expert", expert]
        command = ["train", str(clip), "--prompt", "a bar", "--steps", "2", "--out", str(out), *size, *more]
        assert main(command) == 0, capsys.readouterr().err
        learned[expert] = load_embedding(out)
    said = learned[HIGH].origin.settings
    assert (said["expert"], said["timesteps"]) == (HIGH, [875, 999]) and "picture" not in said
    assert learned["both"].origin.settings["timesteps"] == [800, 999]
    assert difference(learned["both"], learned[HIGH]) in ("timesteps", "expert")
    command = ["generate", "--prompt", "a robot", "--motion", str(tmp_path / "high_noise.safetensors"), "--steps", "4"]
    command += ["--reference", str(clip), "--noise-weight", "0.5", *size]  # which inverts the clip
    assert main([*command, "--out", str(tmp_path / "a.webp")]) == 0, capsys.readouterr().err
    assert main([*command, "--expert", "low_noise", "--out", str(tmp_path / "b.webp")]) == 0, capsys.readouterr().err
    assert (tmp_path / "a.webp").read_bytes() != (tmp_path / "b.webp").read_bytes()


def test_a_boundary_is_needed_and_part_of_the_model(folders: Path, tmp_path: Path) -> None:
    folder = with_two_experts(tmp_path / "wan", folders)
    index, before = folder / "model_index.json", model_hash(folder)
    index.write_text(json.dumps({"boundary_ratio": 0.9}))
    assert model_hash(folder) != before
    index.write_text(json.dumps({"boundary_ratio": 2}))
    with pytest.raises(MotionError, match=r"model_index.json: boundary_ratio is 2, but it must lie between 0 and 1"):
        load_model(folder)
    index.unlink()
    with pytest.raises(MotionError, match=r"has a transformer_2, but model_index\.json does not say"):
        load_model(folder)
    shutil.rmtree(folder / "transformer_2")
    alone = load_model(folder)
    assert isinstance(alone.denoiser, WanDenoiser) and alone.denoiser.process.boundary is None


def test_as_two_single_files(folders: Path, tmp_path: Path) -> None:
    folder = as_single_files(tmp_path / "wan", folders)
    (folder / "some_wan.safetensors").unlink()
    low, high = (folder / f"wan2.2_i2v_{noise}_noise_14B.safetensors" for noise in ("low", "high"))
    for seed, file in enumerate((high, low)):
        torch.manual_seed(seed)
        found = weights(transformer(36))
        save_file({name: tensor + 0.01 * seed for name, tensor in found.items()}, file)
    denoiser = load_model(folder).denoiser
    assert isinstance(denoiser, TwoExperts) and denoiser.process.boundary == 0.9  # as it takes a first frame
    a, b = (expert.network.proj_out.bias for expert in denoiser.experts.values())
    torch.testing.assert_close(a + 0.01, b)
    high.rename(folder / "wan_highlow.safetensors")
    with pytest.raises(MotionError, match="or two of which one is named high and the other low, but holds"):
        load_model(folder)
