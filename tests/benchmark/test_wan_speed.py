"""The speed benchmark of Wan at toy size on the CPU: every part runs, and what it compares is so."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import pytest

pytest.importorskip("diffusers", minversion="0.35", reason="older ones have no Wan")

import torch
from torch import Tensor

from motion_lib.benchmark import wan_checks, wan_training_speed
from motion_lib.benchmark.wan_full_size import SIZES, WanBench, WanShape, random_wan
from motion_lib.benchmark.wan_lora import EveryBlockAgain, lora_training
from motion_lib.benchmark.wan_small_card import under_a_cap
from motion_lib.benchmark.wan_training_speed import LORA, LOW_MEMORY, PLAIN, WAYS, measure
from motion_lib.cli.benchmark import speed
from motion_lib.errors import MotionError

CPU = torch.device("cpu")
SHAPE = WanShape(9, 64, 48)


def bench(dtype: torch.dtype = torch.bfloat16) -> WanBench:
    return WanBench("small", CPU, dtype)


@pytest.mark.parametrize(("name", "parameters"), [("wan-1.3b", 1_418_996_800), ("wan-14b", 14_288_491_584)])
def test_the_sizes_are_those_that_were_published(name: str, parameters: int) -> None:
    network = random_wan(SIZES[name], torch.device("meta"), torch.bfloat16).network
    assert sum(weight.numel() for weight in network.parameters()) == parameters
    assert {weight.dtype for weight in network.parameters()} == {torch.bfloat16}


def test_shapes() -> None:
    assert WanShape().latents == (1, 16, 9, 60, 104)
    assert [WanShape(frames).tokens for frames in (33, 81)] == [14_040, 32_760]
    for wrong in ((32, 832, 480), (33, 840, 480)):
        with pytest.raises(MotionError):
            WanShape(*wrong)


def test_random_weights_are_the_same_each_time_and_places_are_told_apart() -> None:
    first, second = (bench(torch.float32).denoiser() for _ in range(2))
    for a, b in zip(first.network.state_dict().values(), second.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    cosines = bench().denoiser().network.rope.freqs_cos
    assert cosines.dtype == torch.float32 and cosines.abs().amax() == 1 and cosines.std(0).max() > 0.5
    machine = bench(torch.float32)
    out = first(machine.clip(SHAPE), torch.tensor([900.0]), machine.text()).detach()
    assert 0.05 < float(out.std()) < 5


def test_every_way_trains_and_the_modes_learn_the_same() -> None:
    machine = bench()
    runs = {way: measure(machine, way, SHAPE, 2, 1) for way in WAYS}
    for run in runs.values():
        assert not run.said and run.ms > 0 and len(run.losses) == 3 and len(run.times) == 2
    assert runs[PLAIN].losses == pytest.approx(runs[LOW_MEMORY].losses, rel=1e-3)
    estimates = [runs[way].needed for way in (PLAIN, LOW_MEMORY)]
    assert runs[LORA].needed is None and estimates[0] > estimates[1] > 0  # type: ignore[operator]


def test_the_lora_learns_in_every_block_which_is_computed_twice() -> None:
    """Its gradients are those of a pass that keeps all."""
    machine, gradients = bench(torch.float32), []
    for again in (False, True):
        denoiser = machine.denoiser()
        state = lora_training(denoiser, 1, CPU)
        learning: dict[str, Tensor] = dict(state.learner.tensors)
        with torch.no_grad():
            for tensor in learning.values():
                tensor.normal_(std=0.1, generator=torch.Generator().manual_seed(tensor.numel()))
        run = EveryBlockAgain(denoiser) if again else denoiser
        with state.learner.acting(machine.clip(SHAPE)):
            run(machine.clip(SHAPE), torch.tensor([700.0]), machine.text()).square().sum().backward()
        gradients.append({name: tensor.grad for name, tensor in learning.items()})
    assert len(gradients[0]) == 2 * 4 * 6  # down and up of q, k, v and the projection out, in six blocks
    for name, kept in gradients[0].items():
        assert kept is not None and kept.abs().max() > 0
        torch.testing.assert_close(gradients[1][name], kept, rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = bench()
    monkeypatch.setattr(wan_training_speed, "free_memory", lambda device: 10)
    found = measure(machine, PLAIN, SHAPE, 2, 1)
    assert found.said.startswith("does not fit: needs 0.0 GiB beside the model") and not found.losses

    def full(*given: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(wan_training_speed, "train", full)
    assert measure(machine, LORA, SHAPE, 2, 1).said.startswith("out of memory")


def test_a_card_that_is_too_small_for_the_weights() -> None:
    (stage,) = under_a_cap(WanBench("wan-14b", CPU), WanShape(5, 64, 48), 24.0)
    assert stage.reserved is None and stage.said.startswith("not possible: 26.6 GiB of weights and ")


def test_checks_pass_and_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    found = list(wan_checks.checks(bench(), SHAPE))
    assert len(found) == 7 and all(check.passed for check in found), found

    def spoiled(name: str, *given: object) -> Tensor:
        return own(name, *given) * (0.9 if given[0] == LOW_MEMORY else 1)  # type: ignore[arg-type]

    own = wan_checks._gradient
    monkeypatch.setattr(wan_checks, "_gradient", spoiled)
    assert [check.passed for check in wan_checks.checks(bench(), SHAPE)].count(False) == 2

    def full(*given: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(wan_checks, "_gradient", full)
    found = list(wan_checks.checks(bench(), SHAPE))
    assert [check.passed for check in found] == [False, False, True, True, True]
    assert found[0].found == "out of memory"


def test_a_digest_sees_every_bit() -> None:
    network = bench().denoiser().network
    before, weight = wan_checks.digest(network), network.blocks[3].attn1.to_v.weight
    assert wan_checks.digest(bench().denoiser().network) == before
    bits = weight.detach().view(torch.int16)
    bits[5, 7] ^= 1
    assert wan_checks.digest(network) != before
    bits[5, 7] ^= 1
    assert wan_checks.digest(network) == before
    bits[5, [7, 8]] = bits[5, [8, 7]]
    assert wan_checks.digest(network) != before


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    speed.add_arguments(parser)
    out = tmp_path / "numbers.json"
    arguments = ["--model-shape", "wan-1.3b", "--small", "--device", "cpu", "--out", str(out)]
    speed.run(parser.parse_args(arguments))
    printed = capsys.readouterr().out
    assert "| LoRA trainer |" in printed and "needs a GPU" in printed and "FAILED" not in printed
    entries = json.loads(out.read_text())
    kinds = [entry["kind"] for entry in entries]
    assert {kind: kinds.count(kind) for kind in kinds} == {"way": 3, "sampling": 1, "growth": 4, "check": 7, "card": 1}
    assert [entry["way"] for entry in entries[:3]] == list(WAYS)
    for entry in entries[:3]:
        assert asdict(wan_training_speed.WanMeasured("", "")).keys() <= entry.keys() and len(entry["times"]) == 2


def test_a_part_without_memory_does_not_end_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*given: object, **named: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB.")

    monkeypatch.setattr("motion_lib.benchmark.wan_sampling_speed.sample", full)
    parser = argparse.ArgumentParser()
    speed.add_arguments(parser)
    given = ["--model-shape", "wan-14b", "--small", "--device", "cpu", "--parts", "sampling", "growth"]
    speed.run(parser.parse_args(given))
    printed = capsys.readouterr().out
    assert "| sampling: out of memory | CUDA out of memory. Tried" in printed
    assert printed.rstrip().endswith("Growth is measured for wan-1.3b alone.")
