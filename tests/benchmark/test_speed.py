"""The speed benchmark at toy size on the CPU: everything that does not need a GPU runs, and what it compares is so."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch

from motion_lib.benchmark import speed_checks
from motion_lib.benchmark.full_size import FULL, SMALL, random_denoiser, random_latents, random_text
from motion_lib.benchmark.sampling_speed import sampling_seconds
from motion_lib.benchmark.training_speed import Bench, Reference, Shape, measure, ways
from motion_lib.cli.benchmark import speed

CPU = torch.device("cpu")
SHAPE = Shape(3, 48, 32)


def bench() -> Bench:
    return Bench(SMALL, CPU, torch.bfloat16)


def test_the_full_size_has_the_layers_of_modelscope() -> None:
    from diffusers.models.unets.unet_3d_condition import UNet3DConditionModel

    from motion_lib.backbones.unet3d.denoiser import backbone_of

    with torch.device("meta"):
        unet = UNet3DConditionModel(**FULL)
    assert sum(p.numel() for p in unet.parameters()) == 1_411_233_860
    deep = backbone_of(unet).select("deep")
    assert len(deep) == 5 and {layer.channels for layer in deep} == {1280}


def test_random_weights_are_the_same_each_time_and_keep_activations_in_scale() -> None:
    first, second = (random_denoiser(SMALL, CPU, torch.float32) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.unet.parameters(), second.unet.parameters(), strict=True))
    out = first(
        random_latents(3, 48, 32, CPU, torch.float32), torch.tensor([400]), random_text(SMALL, CPU, torch.float32)
    )
    assert 0.05 < float(out.detach().std()) < 5


def test_every_way_learns_the_same() -> None:
    runs = {way.name: measure(bench(), way, SHAPE, 3) for way in ways(torch.bfloat16)}
    assert next(iter(runs)) == "float32" and {"reference-like", "plain", "fast", "low_memory"} < set(runs)
    for run in runs.values():
        assert len(run.losses) == 3 and run.losses == pytest.approx(runs["float32"].losses, rel=0.02)
        assert run.ms > 0 and len(run.times) == 2


def test_reference_computes_what_plain_does() -> None:
    """In float32, autocast off in effect: the same prediction, blocks as they were afterwards."""
    denoiser = random_denoiser(SMALL, CPU, torch.float32)
    latents, text = random_latents(3, 48, 32, CPU, torch.float32), random_text(SMALL, CPU, torch.float32)
    at = torch.tensor([400])
    expected = denoiser(latents, at, text)
    found = Reference(denoiser, torch.bfloat16)(latents, at, text)
    assert 0 < float((found - expected).norm() / expected.norm()) < 0.1
    assert torch.equal(denoiser(latents, at, text), expected)
    assert "forward" not in vars(denoiser.unet.mid_block)


def test_sampling_and_inversion_are_timed() -> None:
    found = sampling_seconds(bench(), SHAPE, 1, 1)
    assert len(found) == 2
    for seconds in found.values():
        assert set(seconds) == {"unpatched", "patched", "inversion"} and min(seconds.values()) > 0


def test_checks_pass_and_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    found = list(speed_checks.checks(bench(), SHAPE, 2))
    assert len(found) == 9 and all(check.passed for check in found), found
    monkeypatch.setattr(speed_checks, "GRADIENT_TOLERANCE", 0.0)
    monkeypatch.setattr("motion_lib.backbones.unet3d.frozen_pass.feed_forward", lambda layer, x: 0.9 * x)
    assert not all(check.passed for check in speed_checks.checks(bench(), SHAPE, 0))


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    speed.add_arguments(parser)
    out = tmp_path / "numbers.json"
    arguments = ["--small", "--parts", "ways", "card", "--steps", "2", "--device", "cpu", "--out", str(out)]
    speed.run(parser.parse_args(arguments))
    printed = capsys.readouterr().out
    assert "| reference-like |" in printed and "needs a GPU" in printed
    entries = json.loads(out.read_text())
    assert [entry["way"] for entry in entries] == [way.name for way in ways(torch.bfloat16)]
