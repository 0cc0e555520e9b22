"""Noise priors: every pairwise correlation against theory, the published recursions and search against the closed form,
and the contract that every registered prior keeps."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from motion_lib.diffusion.frame_noise import (
    MOST_DEPENDENCY,
    PRIORS,
    SIMILARITY_HELP,
    correlations,
    frame_noise,
    similarity_of,
    tied,
)
from motion_lib.diffusion.sampling import random_noise
from motion_lib.errors import MotionError
from tests.tiny import randn

SHAPE = (2, 4, 6, 64, 64)
COUNT = 2 * 4 * 64 * 64  # values of a frame
CLOSE = 4 / math.sqrt(COUNT)  # four standard errors of a correlation that is 0, and more than that of others
TIED = [name for name in PRIORS if name != "independent"]


def found(noise: Tensor) -> Tensor:
    """The second moments of frames, `[f, f]`: correlations, with the variances on the diagonal."""
    frames = noise.double().transpose(0, 2).flatten(1)
    return frames @ frames.T / frames.shape[1]


@pytest.mark.parametrize("similarity", [0.0, 0.3, 0.894, 0.994, 1.0])
@pytest.mark.parametrize("prior", PRIORS)
def test_every_pair_of_frames_correlates_as_theory_says(prior: str, similarity: float) -> None:
    """Written out by hand: mixed is ρ everywhere, the chains ρ^|i−j|. The diagonal is the variance."""
    expected = torch.empty(6, 6, dtype=torch.float64)
    for i in range(6):
        for j in range(6):
            if i == j:
                expected[i, j] = 1
            elif prior == "independent":
                expected[i, j] = 0
            else:
                expected[i, j] = similarity if prior == "mixed" else similarity ** abs(i - j)
    assert torch.allclose(correlations(prior, similarity, 6), expected, atol=1e-12)
    assert float((found(frame_noise(SHAPE, 3, prior, similarity)) - expected).abs().max()) < CLOSE


@pytest.mark.parametrize("prior", PRIORS)
def test_numbers_of_the_papers(prior: str) -> None:
    assert similarity_of("mixed") == 0.5 and similarity_of("mixed", 0) == 0
    assert similarity_of("progressive") == pytest.approx(2 / math.sqrt(5))
    assert similarity_of("dependency") == pytest.approx(1 - 0.01 / math.sqrt(math.e))
    assert similarity_of("dependency", 0) == 1 and similarity_of("dependency", MOST_DEPENDENCY) == 0
    assert similarity_of("dependency", 0.174) == pytest.approx(similarity_of("progressive"), abs=1e-4)
    assert similarity_of("independent") == 0
    assert prior == "independent" or f"{similarity_of(prior):.3f} for {prior}" in SIMILARITY_HELP


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_mixed_noise_has_the_law_of_the_published_sum(alpha: float) -> None:
    """PYoCo: ε_i = s + e_i. Both are Gaussian, so that equal second moments are equal laws."""
    spread, own = alpha / math.sqrt(1 + alpha**2), 1 / math.sqrt(1 + alpha**2)
    published = spread * randn(2, 4, 1, 64, 64, seed=8) + own * randn(*SHAPE, seed=9)
    mine = frame_noise(SHAPE, 3, "mixed", similarity_of("mixed", alpha))
    assert float((found(mine) - found(published)).abs().max()) < 2 * CLOSE


def test_progressive_noise_is_the_published_recursion() -> None:
    """PYoCo: ε_i = α/√(1+α²)·ε_{i−1} + e_i, of the same draws."""
    alpha, fresh = 2.0, randn(1, 2, 9, 5, 6, dtype=torch.float64)
    frames = [fresh[:, :, 0]]
    for i in range(1, 9):
        frames.append(alpha / math.sqrt(1 + alpha**2) * frames[-1] + fresh[:, :, i] / math.sqrt(1 + alpha**2))
    assert torch.allclose(tied(fresh, "progressive"), torch.stack(frames, 2), atol=1e-12)


def kl(noise: Tensor, before: Tensor) -> Tensor:
    """What ZS² measures between the noise of two frames, for every video: the mean of exp(x)·(x − y)."""
    return (before.exp() * (before - noise)).flatten(1).mean(1)


@pytest.mark.parametrize("lambda_", [0.01, 0.05, 0.174, 0.5, 1.0, 1.6])
def test_dependency_noise_meets_lambda(lambda_: float) -> None:
    noise = frame_noise((64, 4, 3, 64, 64), 1, "dependency", similarity_of("dependency", lambda_)).double()
    met = torch.stack([kl(noise[:, :, i], noise[:, :, i - 1]).mean() for i in (1, 2)])
    assert float((met - lambda_).abs().max()) < 0.01


def search(before: Tensor, lambda_: float, draws: int = 10, steps: int = 15) -> Tensor:
    """The a of every video by ZS²'s two stages, as its authors publish them (MIT licence, github.com/densechen/zss): of
    ten draws the one that meets λ best, then 15 steps from a = .1 that grow a while the error falls."""
    generator, target = torch.Generator().manual_seed(2), torch.tensor(lambda_)
    least, chosen = torch.full((len(before),), math.inf, dtype=before.dtype), torch.empty_like(before)
    for _ in range(draws):
        drawn = torch.randn(before.shape, generator=generator, dtype=before.dtype)
        error = (kl(drawn, before) - target).abs()
        better = error < least
        chosen[better], least[better] = drawn[better], error[better]
    a, step = torch.full_like(least, 0.1), torch.full_like(least, 0.1)
    for _ in range(steps):
        shaped = a[:, None, None, None]
        error = (kl(shaped.sqrt() * before + (1 - shaped).sqrt() * chosen, before) - target).abs()
        better = error <= least  # never where a has left [0, 1], since the error is not a number there
        a = torch.where(better, a + step, a - 0.8 * step)
        step, least = torch.where(better, step, 0.2 * step), torch.where(better, error, least)
    return a


@pytest.mark.parametrize("lambda_", [0.05, 0.1, 0.174, 0.3, 0.5, 1.0])
def test_the_published_search_looks_for_the_closed_form(lambda_: float) -> None:
    ends = search(randn(24, 4, 64, 64, seed=4), lambda_)
    assert float((ends - similarity_of("dependency", lambda_) ** 2).abs().max()) < 0.07


def test_the_published_search_does_not_find_its_own_default() -> None:
    """Ten steps of .1 are a little more than 1 in single precision, where the search turns back and ends at .984 for
    every small λ; in double precision they are a little less, from where it leaps to 1.1 and does not return: the noise
    is √(1−a) of nothing."""
    single, double = randn(8, 4, 64, 64, seed=4), randn(8, 4, 64, 64, seed=4, dtype=torch.float64)
    assert [float(search(single, lambda_).std()) for lambda_ in (0.0, 0.005, 0.01)] == [0, 0, 0]
    assert torch.equal(search(single, 0.0), search(single, 0.01))
    assert bool((search(double, 0.01) > 1).all())


@pytest.mark.parametrize("prior", PRIORS)
def test_without_similarity_the_noise_is_the_fresh_one_and_with_all_of_it_one_frame(prior: str) -> None:
    fresh = randn(1, 4, 5, 8, 8)
    assert torch.equal(tied(fresh, prior, 0.0), fresh)
    if prior in TIED:
        assert torch.equal(tied(fresh, prior, 1.0), fresh[:, :, :1].expand_as(fresh))


@given(st.sampled_from(sorted(PRIORS)), st.floats(0, 1), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_whatever_the_similarity_the_variance_is_one_and_the_first_frame_stays(
    prior: str, similarity: float, frames: int
) -> None:
    """The noise of unit draws has the factor's rows as coefficients: their squares add up to the variance."""
    fresh = torch.eye(frames, dtype=torch.float64)[None, None, :, None]  # draw j is 1 at column j
    factor = tied(fresh, prior, similarity)[0, 0, :, 0]
    assert torch.allclose(factor @ factor.T, correlations(prior, similarity, frames), atol=1e-9)
    assert torch.allclose(factor.square().sum(1), torch.ones(frames, dtype=torch.float64), atol=1e-9)
    assert torch.equal(factor[0], fresh[0, 0, 0, 0])


@pytest.mark.parametrize("prior", PRIORS)
def test_one_frame_is_fresh_noise(prior: str) -> None:
    assert torch.equal(frame_noise((1, 4, 1, 8, 8), 5, prior), random_noise((1, 4, 1, 8, 8), 5))


@pytest.mark.parametrize("prior", PRIORS)
def test_a_seed_means_the_same_noise_on_every_device_and_in_every_precision(prior: str) -> None:
    shape = (1, 4, 5, 8, 8)
    noise = frame_noise(shape, 5, prior)
    assert torch.equal(noise, frame_noise(shape, 5, prior)) and not torch.equal(noise, frame_noise(shape, 6, prior))
    assert torch.equal(frame_noise(shape, 5, prior, like=torch.zeros(1, dtype=torch.float16)), noise.half())
    assert frame_noise(shape, 5, prior, like=torch.zeros(1, device="meta")).device.type == "meta"  # it was drawn before
    assert torch.equal(noise[:, :, 0], random_noise(shape, 5)[:, :, 0])


def test_half_precision_is_tied_in_single() -> None:
    fresh = randn(1, 4, 9, 8, 8).half()
    assert torch.equal(tied(fresh, "dependency"), tied(fresh.float(), "dependency").half())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pink", 0.5), "one of dependency, progressive"),
        (("mixed", 1.1), "between 0 .* and 1"),
        (("mixed", -0.1), "between 0 .* and 1"),
        (("mixed", math.nan), "between 0 .* and 1"),
    ],
)
def test_bad_priors_and_similarities_are_one_sentence(arguments: tuple, words: str) -> None:
    with pytest.raises(MotionError, match=words) as error:
        tied(randn(1, 1, 2, 2, 2), *arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dependency", 1.7), "λ of dependency noise is 1.7, but it must lie between 0 and 1.649"),
        (("dependency", -0.1), "between 0 and"),
        (("progressive", math.nan), "between 0 and"),
        (("mixed", math.inf), "between 0 and"),
        (("independent", 0.0), "no number to set"),
        (("pink", 0.0), "must be one of"),
    ],
)
def test_bad_numbers_of_the_papers_are_one_sentence(arguments: tuple, words: str) -> None:
    with pytest.raises(MotionError, match=words):
        similarity_of(*arguments)
