"""Training losses against hand-computed values, and the contract every registered one keeps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motion_lib.errors import MotionError
from motion_lib.training.losses import LOSSES, SPATIAL, SpatialTerm
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


def test_velocity_by_hand() -> None:
    """|Δp| = (1, 2), |Δy| = (2, 1): cosine 4/5. A second value with |Δp| = (3, 0) and |Δy| = (0, 1): cosine 0."""
    one = LOSSES["velocity"](frames(0, 1, -1), frames(5, 3, 2), chance())
    assert float(one) == pytest.approx(1 / 5)
    p, y = (
        torch.cat(pair, dim=1) for pair in ((frames(0, 1, -1), frames(0, 3, 3)), (frames(5, 3, 2), frames(1, 1, 2)))
    )
    assert float(LOSSES["velocity"](p, y, chance())) == pytest.approx((1 / 5 + 1) / 2)


def test_velocity_against_the_published_form() -> None:
    p, y = randn(2, 4, 5, 3, 3, dtype=torch.float64), randn(2, 4, 5, 3, 3, seed=1, dtype=torch.float64)
    dp, dy = ((e[:, :, 1:] - e[:, :, :-1]).abs() for e in (p, y))
    cosine = (dp * dy).sum(dim=2) / (dp.square().sum(dim=2) * dy.square().sum(dim=2)).sqrt()
    assert float(LOSSES["velocity"](p, y, chance())) == pytest.approx(1 - float(cosine.mean()), rel=1e-12)


def test_velocity_of_what_does_not_move() -> None:
    """A still target is left out of the mean, a still prediction of a moving target costs 1; gradients stay finite."""
    still, moving = frames(3, 3, 3), frames(1, 2, 4)
    prediction = torch.cat([moving, moving, still], dim=1).requires_grad_()
    loss = LOSSES["velocity"](prediction, torch.cat([still, moving, moving], dim=1), chance())
    assert float(loss.detach()) == pytest.approx(1 / 2)
    loss.backward()
    assert prediction.grad is not None and bool(prediction.grad.isfinite().all())
    assert float(LOSSES["velocity"](moving, still, chance())) == 0


def test_velocity_cares_neither_for_scale_nor_for_what_all_frames_share() -> None:
    p, y = randn(1, 4, 5, 3, 3, dtype=torch.float64), randn(1, 4, 5, 3, 3, seed=1, dtype=torch.float64)
    shared = randn(1, 4, 1, 3, 3, seed=2, dtype=torch.float64)
    expected = float(LOSSES["velocity"](p, y, chance()))
    for other in (3 * p, -p, p + shared):
        assert float(LOSSES["velocity"](other, y, chance())) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [1, 2])
def test_velocity_needs_three_frames(count: int) -> None:
    with pytest.raises(MotionError, match=f"needs at least 3, but the clip has {count}: use a longer clip"):
        LOSSES["velocity"](randn(1, 2, count, 3, 3), randn(1, 2, count, 3, 3), chance())


def test_hybrid_is_debiased_with_a_spatial_term() -> None:
    assert LOSSES["hybrid"] is LOSSES["debiased"]
    assert SPATIAL == {"hybrid": SpatialTerm(rank=32, learning_rate=5e-4, skipped=0.2)}
    assert SPATIAL.keys() <= LOSSES.keys()


QUADRATIC = sorted({*LOSSES} - {"velocity"})


@pytest.mark.parametrize("name", LOSSES)
def test_contract(name: str) -> None:
    """A finite scalar, zero and stationary for a perfect prediction, positive otherwise; reproducible from the
    generator; its gradient reaches the prediction of every frame; it leaves the global generator alone."""
    loss, target = LOSSES[name], randn(2, 4, 3, 5, 6)
    prediction = randn(2, 4, 3, 5, 6, seed=1).requires_grad_()
    perfect = target.clone().requires_grad_()
    at_best = loss(perfect, target, chance())
    at_best.backward()
    assert perfect.grad is not None and float(perfect.grad.abs().max()) < 1e-6 and abs(float(at_best.detach())) < 1e-6
    before = torch.get_rng_state()
    value = loss(prediction, target, chance(5))
    assert torch.equal(torch.get_rng_state(), before)
    assert value.shape == () and torch.isfinite(value) and value > 0.01
    assert torch.equal(value, loss(prediction, target, chance(5)))
    value.backward()
    assert prediction.grad is not None and bool((prediction.grad.abs().amax(dim=(0, 1, 3, 4)) > 0).all())


@pytest.mark.parametrize("name", QUADRATIC)
def test_losses_of_the_error_grow_with_its_square(name: str) -> None:
    """Twice the error, four times the loss, as velocity_weight needs; and one frame is enough."""
    loss, target, prediction = LOSSES[name], randn(2, 4, 3, 5, 6), randn(2, 4, 3, 5, 6, seed=1)
    doubled = loss(target + 2 * (prediction - target), target, chance(5))
    torch.testing.assert_close(doubled, 4 * loss(prediction, target, chance(5)))
    assert float(loss(target.clone(), target, chance())) == 0
    assert torch.isfinite(loss(prediction[:, :, :1], target[:, :, :1], chance()))


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(LOSSES)),
    shape=st.tuples(*(st.integers(low, 4) for low in (1, 1, 3, 1, 1))),
    p_scale=st.sampled_from([0.0, 1e-6, 1.0, 1e4]),
    y_scale=st.sampled_from([0.0, 1e-6, 1.0, 1e4]),
    seed=st.integers(0, 99),
)
def test_no_input_makes_loss_or_gradient_infinite(name: str, shape, p_scale: float, y_scale: float, seed: int) -> None:
    prediction = (p_scale * randn(*shape, seed=seed)).requires_grad_()
    loss = LOSSES[name](prediction, y_scale * randn(*shape, seed=seed + 100), chance(seed))
    loss.backward()
    assert float(loss.detach()) > -1e-6 and bool(torch.isfinite(loss))
    assert prediction.grad is not None and bool(prediction.grad.isfinite().all())
