"""The noise schedule against diffusers' DDIMScheduler and against the formulas written out."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st

from motion_lib.diffusion.sampling import sample
from motion_lib.diffusion.schedule import CLEAN, NoiseSchedule
from motion_lib.errors import MotionError
from tests.tiny import SCHEDULE, ZERO_SNR, randn, text, tiny_backbone

CONFIGS = {
    "ModelScope": {**SCHEDULE, "set_alpha_to_one": False},
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    "v prediction": {**SCHEDULE, "prediction_type": "v_prediction"},
    "trailing": {**SCHEDULE, "timestep_spacing": "trailing"},
    "zero terminal SNR": ZERO_SNR,
    "zero terminal SNR to one": {**ZERO_SNR, "set_alpha_to_one": True},
    "trained betas": {"trained_betas": [0.01 * (i + 1) for i in range(40)], "num_train_timesteps": 40},
}


def reference(config: dict) -> DDIMScheduler:
    return DDIMScheduler(**config, clip_sample=False)


class Oracle:
    """A denoiser whose prediction is a fixed smooth function of its input."""

    backbone = tiny_backbone()

    def __init__(self, schedule: NoiseSchedule):
        self.process = schedule

    def __call__(self, latents, timesteps, conditioning, patches=()):
        return torch.sin(1.3 * latents + 0.001 * timesteps.reshape(-1, 1, 1, 1, 1)) + conditioning.mean()


@pytest.mark.parametrize("name", CONFIGS)
def test_alphas_are_those_of_diffusers(name: str) -> None:
    ours, theirs = NoiseSchedule.from_config(CONFIGS[name]), reference(CONFIGS[name])
    torch.testing.assert_close(ours.alphas_cumprod, theirs.alphas_cumprod.double(), rtol=2e-5, atol=1e-7)
    assert ours.final_alpha == pytest.approx(float(theirs.final_alpha_cumprod), rel=1e-6)


def test_alphas_of_a_schedule_worked_out_by_hand() -> None:
    linear = NoiseSchedule.from_config({"num_train_timesteps": 3, "beta_start": 0.1, "beta_end": 0.3})
    assert linear.alphas_cumprod.tolist() == pytest.approx([0.9, 0.9 * 0.8, 0.9 * 0.8 * 0.7])
    squares = {"num_train_timesteps": 3, "beta_start": 0.04, "beta_end": 0.16, "beta_schedule": "scaled_linear"}
    assert NoiseSchedule.from_config(squares).alphas_cumprod.tolist() == pytest.approx(
        [0.96, 0.96 * 0.91, 0.96 * 0.91 * 0.84]
    )


def test_zero_terminal_snr_keeps_the_first_and_zeroes_the_last() -> None:
    plain, rescaled = NoiseSchedule.from_config(SCHEDULE), NoiseSchedule.from_config(ZERO_SNR)
    assert rescaled.alphas_cumprod[-1] == 0
    assert float(rescaled.alphas_cumprod[0]) == pytest.approx(float(plain.alphas_cumprod[0]), rel=1e-12)
    assert bool((rescaled.alphas_cumprod.diff() < 0).all())


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [2, 7, 20, 30, 50, 1000])
def test_timesteps_are_those_of_diffusers(spacing: str, steps: int) -> None:
    config = {**SCHEDULE, "timestep_spacing": spacing, "steps_offset": 0 if steps == 1000 else 1}
    theirs = reference(config)
    theirs.set_timesteps(steps)
    assert NoiseSchedule.from_config(config).timesteps(steps) == theirs.timesteps.tolist()


@given(
    steps=st.integers(1, 60),
    spacing=st.sampled_from(["leading", "trailing", "linspace"]),
    offset=st.integers(0, 1),
)
def test_timesteps_fall_and_stay_inside(steps: int, spacing: str, offset: int) -> None:
    config = {"num_train_timesteps": 60, "timestep_spacing": spacing, "steps_offset": offset}
    found = NoiseSchedule.from_config(config).timesteps(steps)
    assert len(found) == steps and 0 <= min(found) and max(found) <= 59
    assert all(a > b for a, b in itertools.pairwise(found)) or (offset and steps == 60)


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_impossible_numbers_of_steps(steps: int) -> None:
    with pytest.raises(MotionError, match=f"steps is {steps}, .*choose 1 to 1000"):
        NoiseSchedule.from_config(SCHEDULE).timesteps(steps)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_whole_sampling_run_equals_diffusers(name: str) -> None:
    config, steps = CONFIGS[name], 10
    oracle, theirs = Oracle(NoiseSchedule.from_config(config)), reference(config)
    theirs.set_timesteps(steps)
    noise, words = randn(1, 4, 2, 3, 3, dtype=torch.float64), text(dtype=torch.float64)
    x = noise
    for t in theirs.timesteps:
        x = theirs.step(oracle(x, t.reshape(1), words), int(t), x).prev_sample
    torch.testing.assert_close(sample(oracle, noise, words, steps=steps), x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_every_step_of_linspace_equals_diffusers(prediction: str) -> None:
    """diffusers goes T // steps down whatever the spacing, so single steps are compared, from and to the same place."""
    config, steps = {**SCHEDULE, "prediction_type": prediction, "timestep_spacing": "linspace"}, 10
    ours, theirs = NoiseSchedule.from_config(config), reference(config)
    theirs.set_timesteps(steps)
    x, predicted = randn(1, 4, 2, 3, 3, dtype=torch.float64), randn(1, 4, 2, 3, 3, seed=2, dtype=torch.float64)
    for t in ours.timesteps(steps):
        expected = theirs.step(predicted, t, x).prev_sample
        torch.testing.assert_close(ours.move(x, predicted, t, max(t - 100, CLEAN)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", [SCHEDULE, ZERO_SNR], ids=["epsilon", "v"])
def test_noisy_target_and_back(config: dict) -> None:
    schedule, t = NoiseSchedule.from_config(config), torch.tensor([10, 700])
    clean, noise = randn(2, 4, 3, 2, 2, dtype=torch.float64), randn(2, 4, 3, 2, 2, seed=1, dtype=torch.float64)
    noisy, target = schedule.noisy(clean, noise, t), schedule.target(clean, noise, t)
    for i, at in enumerate([10, 700]):
        alpha = float(schedule.alphas_cumprod[at])
        torch.testing.assert_close(noisy[i], math.sqrt(alpha) * clean[i] + math.sqrt(1 - alpha) * noise[i])
        velocity = math.sqrt(alpha) * noise[i] - math.sqrt(1 - alpha) * clean[i]
        torch.testing.assert_close(target[i], noise[i] if config is SCHEDULE else velocity)
    back = schedule.clean_and_noise(noisy, target, t)
    torch.testing.assert_close(back, (clean, noise))
    torch.testing.assert_close(schedule.clean(noisy, noise, t), clean)


def test_at_pure_noise_nothing_divides_by_zero() -> None:
    schedule = NoiseSchedule.from_config(ZERO_SNR)
    noise, velocity = randn(1, 4, 2, 2, 2), randn(1, 4, 2, 2, 2, seed=1)
    clean, same = schedule.clean_and_noise(noise, velocity, 999)
    assert torch.equal(clean, -velocity) and torch.equal(same, noise)
    assert torch.equal(schedule.noisy(clean, noise, 999), noise)


def test_moving_with_the_true_noise_lands_on_the_same_line() -> None:
    schedule = NoiseSchedule.from_config(SCHEDULE)
    clean, noise = randn(1, 4, 2, 2, 2, dtype=torch.float64), randn(1, 4, 2, 2, 2, seed=1, dtype=torch.float64)
    for start, end in ((900, 100), (100, 900), (CLEAN, 500), (500, CLEAN)):
        moved = schedule.move(schedule.noisy(clean, noise, start), noise, start, end)
        torch.testing.assert_close(moved, schedule.noisy(clean, noise, end))


def test_half_precision_stays_half_precision() -> None:
    schedule = NoiseSchedule.from_config(SCHEDULE)
    x = randn(1, 4, 2, 2, 2).half()
    assert schedule.move(x, x, 500, 400).dtype == schedule.noisy(x, x, torch.tensor([3])).dtype == torch.float16


def test_progress_runs_from_noise_to_clean() -> None:
    schedule = NoiseSchedule.from_config(SCHEDULE)
    assert (schedule.progress(999), schedule.progress(0)) == (0, 1)
    assert schedule.progress(333) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"beta_schedule": "squaredcos_cap_v2"}, "beta_schedule"),
        ({"prediction_type": "sample"}, "prediction_type"),
        ({"timestep_spacing": "log"}, "timestep_spacing"),
        ({"num_train_timesteps": "many"}, "many"),
        ({"num_train_timesteps": 0}, "num_train_timesteps"),
        ({"beta_end": 1.5}, "beta_end"),
        ({"beta_start": -0.1}, "beta_start"),
        ({"beta_start": math.nan}, "beta_start"),
        ({"beta_start": None}, "not a number"),
        ({"steps_offset": -1}, "steps_offset"),
        ({"trained_betas": [0.1, 2.0]}, "trained_betas"),
        ({"trained_betas": []}, "trained_betas"),
        ({"trained_betas": ["a"]}, "not a number"),
        ({"rescale_betas_zero_snr": True}, "v_prediction"),
    ],
)
def test_bad_configurations_name_file_and_field(config: dict, field: str) -> None:
    with pytest.raises(MotionError, match=f"^folder/scheduler_config.json.*{field}"):
        NoiseSchedule.from_config(config, "folder/scheduler_config.json")
