"""Settings of training: the learning rate of every step, the density of timesteps, and what is refused."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motion_lib.diffusion.flow import FlowMatching
from motion_lib.diffusion.schedule import NoiseSchedule
from motion_lib.errors import MotionError
from motion_lib.training.settings import LR_SCHEDULES, TrainingSettings

PROCESS = NoiseSchedule.from_config({})


def rates(**options) -> list[float]:
    settings = TrainingSettings(**options)
    return [settings.rate(i) for i in range(settings.steps)]


def test_learning_rates_by_hand() -> None:
    assert rates(steps=5, learning_rate=0.1, final_rate=0.2) == pytest.approx([0.1, 0.08, 0.06, 0.04, 0.02])
    cosine = rates(steps=5, learning_rate=0.1, final_rate=0.2, lr_schedule="cosine")
    root = 2**-0.5
    assert cosine == pytest.approx([0.02 + 0.04 * (1 + c) for c in (1, root, 0, -root, -1)])
    assert set(rates(steps=5, learning_rate=0.1, final_rate=0.2, lr_schedule="constant")) == {0.1}


def test_without_a_final_rate_nothing_falls() -> None:
    assert set(rates(steps=9)) == {2e-2}
    assert rates(steps=1, learning_rate=0.1, final_rate=0.2) == [0.1]


@pytest.mark.parametrize("name", LR_SCHEDULES)
@given(steps=st.integers(2, 500), final=st.floats(0, 1))
def test_every_schedule_begins_at_the_learning_rate_and_never_rises(name: str, steps: int, final: float) -> None:
    found = rates(steps=steps, learning_rate=0.1, final_rate=final, lr_schedule=name)
    assert found[0] == 0.1 and found[-1] == pytest.approx(0.1 if name == "constant" else 0.1 * final)
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(found))


@pytest.mark.parametrize("bias", [0.0, 0.5, 1.0, 3.0])
def test_timesteps_have_the_density_that_the_bias_says(bias: float) -> None:
    """Of the four timesteps 10 to 13 against ((k + 1)/4)^(1 + bias) − (k/4)^(1 + bias), within four deviations."""
    settings, count = TrainingSettings(timesteps=(10, 13), timestep_bias=bias), 20000
    drawn = settings.draw_timesteps(count, PROCESS, torch.Generator().manual_seed(0))
    for k in range(4):
        expected = ((k + 1) / 4) ** (1 + bias) - (k / 4) ** (1 + bias)
        share = float((drawn == 10 + k).double().mean())
        assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / count)


@given(
    bias=st.floats(0, 50),
    low=st.integers(0, 999),
    span=st.integers(0, 2000),
    seed=st.integers(0, 99),
)
def test_timesteps_stay_in_their_range(bias: float, low: int, span: int, seed: int) -> None:
    settings = TrainingSettings(timesteps=(low, low + span), timestep_bias=bias)
    drawn = settings.draw_timesteps(64, PROCESS, torch.Generator().manual_seed(seed))
    assert drawn.dtype == torch.int64 and low <= int(drawn.min()) and int(drawn.max()) <= min(low + span, 999)


def test_no_bias_draws_what_it_always_drew() -> None:
    drawn = TrainingSettings(timesteps=(200, 800)).draw_timesteps(5, PROCESS, torch.Generator().manual_seed(3))
    assert torch.equal(drawn, torch.randint(200, 801, (5,), generator=torch.Generator().manual_seed(3)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"final_rate": -1.0}, "final_rate is -1"),
        ({"clip": -1.0}, "clip is -1"),
        ({"weight_decay": math.inf}, "weight_decay is inf"),
        ({"timestep_bias": -0.5}, "timestep_bias is -0.5"),
        ({"lr_schedule": "steep"}, "lr_schedule is 'steep', but it must be one of linear, cosine, constant"),
        ({"velocity_cap": 0.0}, "velocity_cap is 0"),
        ({"loss": "l7"}, "loss is 'l7', but it must be one of mse, debiased"),
        ({"timesteps": (5, 4)}, "timesteps are 5 to 4"),
        ({"timesteps": (-1, 4)}, "timesteps are -1 to 4"),
    ],
)
def test_bad_settings(options: dict, message: str) -> None:
    with pytest.raises(MotionError, match=message):
        TrainingSettings(**options)


def test_flow_models_are_trained_between_timesteps_too() -> None:
    settings = TrainingSettings(timesteps=(600, 999))
    drawn = settings.draw_timesteps(2000, FlowMatching(), torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.float32 and drawn.unique().numel() > 1900
    assert 600 <= drawn.min() < 605 and 995 < drawn.max() <= 1000
