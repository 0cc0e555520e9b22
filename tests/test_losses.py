"""Training losses against hand-computed values, and the contract every registered one keeps."""

from __future__ import annotations

import pytest
import torch

from motion_lib.losses import LOSSES
from tests.tiny import randn


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def frames(*values: float) -> torch.Tensor:
    """`[1, 1, f, 1, 1]`."""
    return torch.tensor(values, dtype=torch.float64).reshape(1, 1, -1, 1, 1)


def test_mse_by_hand() -> None:
    assert float(LOSSES["mse"](frames(1, 2, 3), frames(0, 4, 3), chance())) == pytest.approx((1 + 4 + 0) / 3)


def test_debiased_by_hand() -> None:
    """Errors 1 and 3: mse 5. φ with α = √2, β = 1 leaves √2 − 1 and 3√2 − 1 when the first frame is the anchor, √2 − 3
    and 3√2 − 3 when it is the second."""
    root = 2**0.5
    first = 5 + ((root - 1) ** 2 + (3 * root - 1) ** 2) / 2
    second = 5 + ((root - 3) ** 2 + (3 * root - 3) ** 2) / 2
    found = [float(LOSSES["debiased"](frames(2, 5), frames(1, 2), chance(seed))) for seed in range(40)]
    assert all(min(abs(f - first), abs(f - second)) < 1e-9 for f in found)
    counts = sum(abs(f - first) < 1e-9 for f in found)
    assert 8 <= counts <= 32  # the anchor is drawn uniformly: 20 of 40 on average


def test_debiased_shares_one_anchor_and_follows_the_published_form() -> None:
    """φ of prediction and target each, anchored at the same frame of the same clip."""
    p, y = randn(2, 4, 5, 3, 3, dtype=torch.float64), randn(2, 4, 5, 3, 3, seed=1, dtype=torch.float64)

    def phi(e: torch.Tensor, anchor: int) -> torch.Tensor:
        return 2**0.5 * e - e[:, :, anchor, None]

    possible = [((p - y) ** 2).mean() + ((phi(p, a) - phi(y, a)) ** 2).mean() for a in range(5)]
    for seed in range(10):
        found = LOSSES["debiased"](p, y, chance(seed))
        assert min(float((found - each).abs()) for each in possible) < 1e-9


def test_debiased_weighs_appearance_less_than_motion() -> None:
    """An error that all frames share costs less than one of the same size that alternates."""
    target = frames(0, 0, 0, 0)
    shared, moving = frames(1, 1, 1, 1), frames(1, -1, 1, -1)
    for seed in range(4):
        assert LOSSES["debiased"](shared, target, chance(seed)) < 0.6 * LOSSES["debiased"](moving, target, chance(seed))


@pytest.mark.parametrize("name", LOSSES)
def test_contract(name: str) -> None:
    """A finite scalar, zero and stationary for a perfect prediction, positive otherwise; reproducible from the
    generator; its gradient reaches the prediction of every frame; it leaves the global generator alone."""
    loss, target = LOSSES[name], randn(2, 4, 3, 5, 6)
    prediction = randn(2, 4, 3, 5, 6, seed=1).requires_grad_()
    assert float(loss(target.clone(), target, chance())) == 0
    before = torch.get_rng_state()
    value = loss(prediction, target, chance(5))
    assert torch.equal(torch.get_rng_state(), before)
    assert value.shape == () and torch.isfinite(value) and value > 0
    assert torch.equal(value, loss(prediction, target, chance(5)))
    value.backward()
    assert prediction.grad is not None and bool((prediction.grad.abs().amax(dim=(0, 1, 3, 4)) > 0).all())
    torch.testing.assert_close(loss(target + 2 * (prediction - target), target, chance(5)), 4 * value)
    one_frame = loss(prediction[:, :, :1], target[:, :, :1], chance())
    assert torch.isfinite(one_frame)
