"""DDIM inversion: by the formula, back again through sampling, and at pure noise, where nothing may divide by zero."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from motion_lib.diffusion.inversion import invert
from motion_lib.diffusion.sampling import sample
from motion_lib.diffusion.schedule import NoiseSchedule
from motion_lib.errors import MotionError
from motion_lib.sprites import random_scenes, render
from tests.tiny import SCHEDULE, ZERO_SNR, randn, text, tiny_backbone, tiny_denoiser

CLIP = randn(1, 4, 3, 5, 6, dtype=torch.float64)


def relative(error: Tensor, of: Tensor) -> float:
    return float((error.square().mean() / of.square().mean()).sqrt())


class Straight:
    """A denoiser that knows the noise of its clip: every x_t lies on one line, as after training on one clip."""

    backbone = tiny_backbone()

    def __init__(self, config: dict, clean: Tensor, noise: Tensor):
        self.process, self.clean, self.noise = NoiseSchedule.from_config(config), clean, noise
        self.timesteps: list[int] = []

    def __call__(self, latents, timesteps, conditioning, patches=()):
        self.timesteps.append(int(timesteps[0]))
        return self.process.target(self.clean, self.noise, timesteps)


def test_one_step_by_the_formula() -> None:
    """x_t = √(ᾱ_t/ᾱ_s)·(x_s − √(1−ᾱ_s)·ε) + √(1−ᾱ_t)·ε, from the clean end, whose ᾱ is that of timestep 0 here."""
    config = {**SCHEDULE, "set_alpha_to_one": False}
    oracle = Straight(config, CLIP, randn(*CLIP.shape, seed=1, dtype=torch.float64))
    alphas = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, 0)
    below, at, noise = float(alphas[0]), float(alphas[1]), oracle.noise
    expected = math.sqrt(at / below) * (CLIP - math.sqrt(1 - below) * noise) + math.sqrt(1 - at) * noise
    torch.testing.assert_close(invert(oracle, CLIP, None, steps=1), expected)


@pytest.mark.parametrize("config", [SCHEDULE, ZERO_SNR], ids=["epsilon", "v to zero SNR"])
@pytest.mark.parametrize("refinements", [0, 2])
def test_steps_go_up_the_timesteps_of_sampling(config: dict, refinements: int) -> None:
    oracle, seen = Straight(config, CLIP, randn(*CLIP.shape, seed=1, dtype=torch.float64)), []
    invert(oracle, CLIP, None, steps=4, refinements=refinements, on_step=seen.append)
    assert oracle.timesteps == [t for t in oracle.process.timesteps(4)[::-1] for _ in range(1 + refinements)]
    assert [(step.number, step.steps) for step in seen] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert [step.time for step in seen] == oracle.process.timesteps(4)[::-1]


@pytest.mark.parametrize("refinements", [0, 3])
def test_exact_for_a_model_that_knows_the_noise(refinements: int) -> None:
    """From the exact start of the line, inversion returns its end, and sampling goes all the way back."""
    noise = randn(*CLIP.shape, seed=1, dtype=torch.float64)
    oracle = Straight(SCHEDULE, CLIP, noise)
    top = oracle.process.timesteps(10)[0]
    found = invert(oracle, CLIP, None, steps=10, refinements=refinements)
    torch.testing.assert_close(found, oracle.process.noisy(CLIP, noise, top))
    torch.testing.assert_close(sample(oracle, found, CLIP, steps=10), CLIP)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_sampling_returns_the_latents(prediction: str) -> None:
    """On a random model: every few refinements shrink the error, in the end below 1 %. Errors relative to the
    clip; the second model's schedule ends in pure noise."""
    denoiser, words = tiny_denoiser(prediction, torch.float64), text(dtype=torch.float64)
    errors = []
    for refinements in (0, 4, 14):
        noise = invert(denoiser, CLIP, words, steps=6, refinements=refinements)
        assert torch.isfinite(noise).all()
        errors.append(relative(sample(denoiser, noise, words, steps=6) - CLIP, CLIP))
    assert all(b < 0.3 * a for a, b in itertools.pairwise(errors)), errors
    assert errors[-1] < 0.01, errors


def test_sprite_clip_comes_back(sprite) -> None:
    """A rendered clip through the bundled model, whose schedule ends in pure noise; relative errors of its latents."""
    scenes = random_scenes(1, 8, generator=torch.Generator().manual_seed(3))
    latents = sprite.encode_video((render(scenes, 64)[0].permute(0, 2, 3, 1) * 255).round().to(torch.uint8))
    assert latents.shape == (1, 4, 8, 8, 8) and sprite.denoiser.process.alphas_cumprod[-1] == 0
    empty, errors = sprite.encode_prompt([""]), []
    for refinements in (0, 3):
        noise = invert(sprite.denoiser, latents, empty, steps=5, refinements=refinements)
        assert torch.isfinite(noise).all() and 0.3 < float(noise.std()) < 1.3
        errors.append(relative(sample(sprite.denoiser, noise, empty, steps=5) - latents, latents))
    assert errors[0] < 0.5 and errors[1] < 0.7 * errors[0], errors


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_latents_that_are_not_finite(bad: float) -> None:
    clip = CLIP.clone()
    clip[0, 0, 0, 0, 0] = bad
    with pytest.raises(MotionError, match="latents of the reference clip contain NaN or infinity"):
        invert(tiny_denoiser(), clip, text())
