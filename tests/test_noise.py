"""Start noises."""

from __future__ import annotations

import math

import pytest
import torch

from motion_lib.errors import MotionError
from motion_lib.noise import START_NOISES
from motion_lib.sampling import random_noise
from tests.tiny import randn

SHAPE = (1, 4, 16, 40, 64)


def test_blend_by_hand() -> None:
    inverted, fresh = torch.tensor([3.0]), torch.tensor([-1.0])
    assert float(START_NOISES["blend"](inverted, fresh, 0.25)) == pytest.approx(0.5 * 3 - math.sqrt(0.75))


@pytest.mark.parametrize("name", START_NOISES)
@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
def test_contract(name: str, weight: float) -> None:
    """White noise in gives white noise out; 0 is the fresh noise, bit for bit, and more weight brings the inverted
    noise nearer; inputs are left as they are."""
    start = START_NOISES[name]
    inverted, fresh = randn(*SHAPE), randn(*SHAPE, seed=1)
    kept = inverted.clone(), fresh.clone()
    found = start(inverted, fresh, weight)
    assert found.shape == SHAPE and found.dtype == torch.float32
    assert abs(float(found.mean())) < 0.01 and float(found.std()) == pytest.approx(1, abs=0.01)
    assert torch.equal(inverted, kept[0]) and torch.equal(fresh, kept[1])
    assert torch.equal(start(inverted, fresh, 0.0), fresh)
    correlation = float((found * inverted).mean())
    if weight:
        assert correlation > float((start(inverted, fresh, weight / 2) * inverted).mean()) + 0.05
    assert start(inverted.half(), fresh.half(), weight).dtype == torch.float16


@pytest.mark.parametrize("name", START_NOISES)
@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan, math.inf])
def test_bad_weights(name: str, weight: float) -> None:
    with pytest.raises(MotionError, match=f"noise weight is {weight}, .* between 0 .* and 1"):
        START_NOISES[name](randn(2), randn(2), weight)


def test_blend_correlates_with_the_inverted_noise_as_its_square_root_says() -> None:
    inverted, fresh = randn(*SHAPE), randn(*SHAPE, seed=1)
    for weight in (0.1, 0.5, 0.9):
        found = START_NOISES["blend"](inverted, fresh, weight)
        assert float((found * inverted).mean()) == pytest.approx(math.sqrt(weight), abs=0.01)
    assert torch.equal(START_NOISES["blend"](inverted, fresh, 1.0), inverted)


def test_random_noise_is_white_and_means_the_same_everywhere() -> None:
    noise = random_noise(SHAPE, 5)
    assert abs(float(noise.mean())) < 0.01 and float(noise.std()) == pytest.approx(1, abs=0.01)
    assert torch.equal(noise, random_noise(SHAPE, 5)) and not torch.equal(noise, random_noise(SHAPE, 6))
    halves = random_noise(SHAPE, 5, like=torch.zeros(1, dtype=torch.float16))
    assert torch.equal(halves, noise.half())
