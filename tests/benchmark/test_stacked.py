"""Methods for models of Wan's kind, on a small one: what all must do, and what each is by its formula."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("diffusers", minversion="0.35", reason="older ones have no Wan")

import torch

from motion_lib.backbones import VideoModel, load_model
from motion_lib.benchmark.cases import rendered_case
from motion_lib.benchmark.methods import STACKED, Method, Reference, Request
from motion_lib.benchmark.methods.carried_noise import carried_noise
from motion_lib.benchmark.methods.clean_guidance import CleanGuidance
from motion_lib.benchmark.methods.joint_lora import JointLoRA
from motion_lib.benchmark.methods.spec import changed, chosen_methods, settings_of
from motion_lib.benchmark.pictures import with_pictures
from motion_lib.cli.benchmark.ablations import STACKED_SWITCHES, ablations
from motion_lib.diffusion.flow import FlowMatching
from motion_lib.errors import MotionError
from motion_lib.method.algebra import place
from motion_lib.training.presets import STACKED as PRESETS
from tests.backbones.folders import FEW_LEVELS, build
from tests.backbones.test_wan_folder import as_diffusers_saves_it, as_single_files


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VideoModel:
    folder = tmp_path_factory.mktemp("models")
    return load_model(as_diffusers_saves_it(folder / "wan", build(folder / "unet", FEW_LEVELS)))


@pytest.fixture(scope="module")
def reference(model: VideoModel) -> Reference:
    case = rendered_case("figure_eight", prompts=2, frames=5, size=32)
    latents = model.encode_video(case.frames)
    return Reference(case, latents, torch.randn(latents.shape, generator=torch.Generator().manual_seed(1)))


@pytest.fixture(scope="module")
def request_(reference: Reference) -> Request:
    fresh = torch.randn(2, *reference.latents.shape[1:], generator=torch.Generator().manual_seed(2))
    return Request(reference.case.prompts, (5, 6), fresh, steps=4, guidance=2.0)


def quick(name: str) -> Method:
    own = settings_of(STACKED.methods[name])
    spec = ",".join(f"{key}={value}" for key, value in {"steps": 2, "iterations": 2}.items() if key in own)
    return next(iter(chosen_methods([f"{name}:{spec}" if spec else name], known=STACKED.methods).values()))


@pytest.mark.parametrize("name", STACKED.methods)
def test_contract(name: str, model: VideoModel, reference: Reference, request_: Request) -> None:
    network = model.denoiser.abilities.network
    before = {key: value.clone() for key, value in network.state_dict().items()}
    method = quick(name)
    learned = method.learn(model, reference)
    latents = method.sample(model, reference, learned, request_)
    assert latents.shape == request_.fresh.shape and latents.isfinite().all()
    assert torch.equal(latents, method.sample(model, reference, learned, request_)), "the same seeds, the same video"
    assert all(isinstance(tensor, torch.Tensor) for tensor in method.shared(reference, learned).values())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
    assert hash(method.recipe) == hash(quick(name).recipe)


def test_a_lora_changes_the_layers_it_names(model: VideoModel, reference: Reference) -> None:
    for name, ends in (("lora", ("to_q", "to_k", "to_v", "to_out.0")), ("motion_lora", ("to_v", "to_out.0"))):
        learned = quick(name).learn(model, reference)
        layers = {key.rpartition(".")[0] for key in learned.tensors}
        attention = {layer for layer in layers if ".attn1." in layer}
        assert attention and all(layer.endswith(ends) for layer in attention)
        assert {layer.split(".")[2] for layer in layers} == ({"attn1"} if name == "lora" else {"attn1", "ffn"})
        assert all(bool(tensor.any()) for tensor in learned.tensors.values())
    with pytest.raises(MotionError, match="layers is 'all', but it must be one of attention, motion"):
        JointLoRA(PRESETS["object"].settings, layers="all")


def test_the_ported_method_learns_one_value_for_all_frames(model: VideoModel, reference: Reference) -> None:
    learned = quick("ported").learn(model, reference)
    values = [tensor for key, tensor in learned.tensors.items() if key.endswith(".v")]
    rows = [tensor for key, tensor in learned.tensors.items() if key.endswith(".qk")]
    assert values and all(torch.equal(value, value[:, :1].expand_as(value)) and value.any() for value in values)
    assert rows and all(row.shape[:2] == (1, 2) and row.any() for row in rows)


def test_carried_noise_is_white_and_goes_with_the_flow() -> None:
    flow = torch.zeros(4, 64, 96, 2)
    flow[..., 0] = 8  # one latent pixel to the right at every frame
    noise = carried_noise(flow, (64, 96), torch.Size((3, 5, 8, 12)), seed=0)
    for i in range(4):
        torch.testing.assert_close(noise[:, i + 1, :, 1:], noise[:, i, :, :-1])
        assert not torch.isclose(noise[:, i + 1, :, 0], noise[:, i, :, 0]).any(), "what comes in is new"
    still = carried_noise(torch.zeros(16, 64, 96, 2), (64, 96), torch.Size((64, 5, 8, 12)), seed=1)
    assert torch.equal(still[:, 0], still[:, 4]) and abs(float(still.std()) - 1) < 0.05
    away = carried_noise(3 * torch.randn(4, 64, 96, 2), (64, 96), torch.Size((64, 5, 8, 12)), seed=1)
    assert abs(float(away[:, 4].std()) - 1) < 0.05 and abs(float(away[:, 4].mean())) < 0.05


def test_clean_guidance_goes_towards_the_references_clean_estimate() -> None:
    process, method = FlowMatching(1000, 3.0), CleanGuidance(rate=0.05, iterations=40)
    generator = torch.Generator().manual_seed(0)
    x, prediction, wanted = (torch.randn(2, 4, 3, 5, 6, generator=generator) for _ in range(3))
    t = process.timesteps(20)[2]
    before, _ = process.clean_and_noise(x, prediction, t)
    after, _ = process.clean_and_noise(method.guided(process, x, prediction, t, wanted), prediction, t)
    assert float(method.loss(after, wanted)) < 0.3 * float(method.loss(before, wanted))
    torch.testing.assert_close(method.guided(process, x, prediction, t, before), x)
    alone = method.guided(process, x[:1], prediction[:1], t, wanted[:1])
    torch.testing.assert_close(method.guided(process, x, prediction, t, wanted)[:1], alone)
    by_hand = (
        20 * (before - wanted).square().mean() + 5 * (before.diff(dim=2).abs() - wanted.diff(dim=2).abs()).pow(2).mean()
    )
    assert float(method.loss(before, wanted)) == pytest.approx(2 * float(by_hand), rel=1e-5)


def test_every_row_of_the_ablations_is_its_own_method(model: VideoModel, reference: Reference) -> None:
    methods = ablations(STACKED_SWITCHES, STACKED.methods["object"], STACKED_SWITCHES)
    assert len(set(map(repr, methods.values()))) == len(methods)
    few = changed(methods["rank: 4"], "steps", 1).learn(model, reference)
    assert {tensor.shape[2] for key, tensor in few.tensors.items() if key.endswith(".v")} == {4}


def test_the_command_finds_the_methods_of_the_model(tmp_path: Path, capsys) -> None:
    from motion_lib.cli import main

    command = ["benchmark", "motion", "--model", "sprite_wan", "--out", str(tmp_path), "--device", "cpu"]
    assert main([*command, "--methods", "temporal_lora"]) == 2
    assert "no method 'temporal_lora' for this model: choose from truth, no_motion" in capsys.readouterr().err
    assert main(["benchmark", "ablations", *command[2:], "--switches", "qk axes"]) == 2
    assert "no switch 'qk axes'" in capsys.readouterr().err


def test_videos_begin_with_pictures_and_so_does_the_clip_while_it_is_learned(tmp_path: Path) -> None:
    model = load_model(as_single_files(tmp_path / "wan", build(tmp_path / "unet", FEW_LEVELS)))
    case = with_pictures(rendered_case("figure_eight", prompts=2, frames=5, size=32))
    latents = model.encode_video(case.frames)
    reference = Reference(case, latents, torch.zeros_like(latents))
    fresh = torch.randn(2, *latents.shape[1:], generator=torch.Generator().manual_seed(2))
    asked = Request(case.prompts, (5, 6), fresh, 4, 2.0, case.pictures)
    method = quick("object")
    learned = method.learn(model, reference)
    moved, still, unled = (
        way.sample(model, reference, learned, each)
        for way, each in ((method, asked), (quick("no_motion"), asked), (method, replace(asked, pictures=())))
    )
    assert moved.shape == fresh.shape and moved.isfinite().all()
    assert not torch.equal(moved, still) and not torch.equal(moved, unled)
    placed = quick("object_placed").sample(model, reference, learned, asked)
    start = case.start_of(case.prompts[1]).offset
    by_hand = method.preset.application.patch(place(learned.to(dtype=torch.float32), start[0] / 2, start[1] / 2))
    second = model.sample(
        case.prompts[1], fresh[1:], patches=[by_hand], picture=case.pictures[1], steps=4, guidance=2.0, fast=False
    )
    torch.testing.assert_close(placed[1:], second)
    assert not torch.allclose(placed, moved, atol=1e-4)
    otherwise = method.learn(model, Reference(replace(case, pictures=(), starts=()), latents, reference.inverted))
    assert any(not torch.equal(tensor, otherwise.tensors[key]) for key, tensor in learned.tensors.items())
    with pytest.raises(MotionError, match="clean_guidance is made for videos from text"):
        quick("clean_guidance").sample(model, reference, None, asked)
