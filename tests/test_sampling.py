"""Sampling: guidance, patches in their part of the run, and refusals. Parity with diffusers is in test_schedule.py."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch

from motion_lib.backbones.unet3d.denoiser import UNet3DDenoiser
from motion_lib.diffusion.sampling import remaining, sample
from motion_lib.errors import MotionError
from motion_lib.method.patch import MotionPatch
from tests.tiny import randn, random_embedding, text, tiny_backbone, tiny_denoiser, tiny_unet

NOISE = randn(1, 4, 3, 5, 6)
SEEDS = {"epsilon": 0, "v_prediction": 1}


class Recorder:
    """A denoiser that writes down what it is asked."""

    def __init__(self, inner: UNet3DDenoiser):
        self.inner, self.process, self.backbone, self.calls = inner, inner.process, inner.backbone, []

    def __call__(self, latents, timesteps, conditioning, patches=()):
        self.calls.append((int(timesteps[0]), len(latents), len(patches)))
        return self.inner(latents, timesteps, conditioning, patches)


@pytest.mark.parametrize("prediction", SEEDS)
@pytest.mark.parametrize("guidance", [0.0, 1.0, 4.0])
def test_guidance_by_the_formula(prediction: str, guidance: float) -> None:
    """One step: empty + g·(text − empty) for the prediction, from two separate calls."""
    denoiser, words, empty = tiny_denoiser(prediction), text(), text(seed=8)
    (t,) = denoiser.process.timesteps(1)
    with torch.no_grad():
        at = torch.tensor([t])
        towards, without = denoiser(NOISE, at, words), denoiser(NOISE, at, empty)
    expected = denoiser.process.move(NOISE, without + guidance * (towards - without), t, -1)
    found = sample(denoiser, NOISE, words, unconditional=empty, guidance=guidance, steps=1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_guidance_one_calls_the_model_once_per_step() -> None:
    denoiser = Recorder(tiny_denoiser())
    sample(denoiser, NOISE, text(), unconditional=text(seed=8), guidance=1.0, steps=3)
    assert denoiser.calls == [(667, 1, 0), (334, 1, 0), (1, 1, 0)]


def test_guidance_without_an_empty_prompt_is_refused() -> None:
    with pytest.raises(MotionError, match=r"guidance is 4\.0, which needs unconditional"):
        sample(tiny_denoiser(), NOISE, text(), guidance=4.0, steps=2)


def test_patches_act_in_their_part_of_the_run_and_on_both_prompts() -> None:
    denoiser = Recorder(tiny_denoiser())
    embedding = random_embedding(tiny_backbone())
    early, late = MotionPatch(embedding, end=0.5), MotionPatch(embedding, start=0.7)
    sample(denoiser, NOISE, text(), unconditional=text(), guidance=2.0, steps=5, patches=[early, late])
    assert denoiser.calls == [(801, 2, 1), (601, 2, 1), (401, 2, 0), (201, 2, 1), (1, 2, 1)]


def test_a_run_can_begin_in_the_middle() -> None:
    """From what a whole run has come to, as if it had not been interrupted; and of a run of few steps at the last."""
    seen: list[Any] = []
    whole = sample(tiny_denoiser(), NOISE, text(), steps=5, on_step=seen.append)
    begin = tiny_denoiser().process.progress(seen[3].time)
    last: list[Any] = []
    assert torch.equal(
        sample(tiny_denoiser(), seen[2].latents, text(), steps=5, begin=begin, on_step=last.append), whole
    )
    assert [(step.number, step.steps, step.time) for step in last] == [(0, 2, seen[3].time), (1, 2, seen[4].time)]
    assert remaining(tiny_denoiser().process, 5, 0.99) == [seen[4].time]


@pytest.mark.parametrize("begin", [1.0, -0.1, math.nan])
def test_a_run_begins_within_itself(begin: float) -> None:
    with pytest.raises(MotionError, match="it must be from 0"):
        sample(tiny_denoiser(), NOISE, text(), steps=2, begin=begin)


def test_strength_zero_equals_no_embedding_bit_for_bit() -> None:
    patch = MotionPatch(random_embedding(tiny_backbone()), 0.0, 0.0)
    options = {"unconditional": text(seed=8), "guidance": 3.0, "steps": 3}
    plain = sample(tiny_denoiser(), NOISE, text(), **options)
    assert torch.equal(sample(tiny_denoiser(), NOISE, text(), patches=[patch], **options), plain)
    strong = MotionPatch(random_embedding(tiny_backbone()))
    assert not torch.allclose(sample(tiny_denoiser(), NOISE, text(), patches=[strong], **options), plain, atol=1e-3)


def test_an_embedding_works_at_other_lengths_and_sizes() -> None:
    """Resampled on the way, it acts as the embedding resampled by hand."""
    embedding, noise = random_embedding(tiny_backbone()), randn(1, 4, 5, 7, 9)
    found = sample(tiny_denoiser(), noise, text(), steps=2, patches=[MotionPatch(embedding)])
    fitted = MotionPatch(embedding.resample(5, (7, 9)))
    assert found.shape == noise.shape
    assert torch.equal(found, sample(tiny_denoiser(), noise, text(), steps=2, patches=[fitted]))


def test_sampling_is_reproducible_reports_steps_and_builds_no_graph() -> None:
    seen = []
    live = random_embedding(tiny_backbone())
    for tensor in live.tensors.values():
        tensor.requires_grad_()
    first = sample(tiny_denoiser(), NOISE, text(), steps=3, patches=[MotionPatch(live)], on_step=seen.append)
    assert torch.equal(first, sample(tiny_denoiser(), NOISE, text(), steps=3, patches=[MotionPatch(live)]))
    assert [(step.number, step.steps) for step in seen] == [(0, 3), (1, 3), (2, 3)] and not first.requires_grad
    schedule = tiny_denoiser().process
    assert [step.time for step in seen] == schedule.timesteps(3)
    assert [step.level for step in seen] == [1 - schedule.progress(step.time) for step in seen]
    assert seen[0].level - seen[1].level == pytest.approx(seen[1].level - seen[2].level, abs=0.002)
    assert torch.equal(seen[-1].latents, first)
    assert all(a.level > b.level for a, b in pairwise(seen)) and seen[0].clean.shape == NOISE.shape


def test_an_embedding_of_another_backbone_is_refused() -> None:
    wider = UNet3DDenoiser(tiny_unet(block_out_channels=(16, 16)), tiny_denoiser().process)
    with pytest.raises(MotionError, match=r"was trained for unet3d .* does not fit unet3d"):
        sample(wider, NOISE, text(), steps=1, patches=[MotionPatch(random_embedding(tiny_backbone()))])
