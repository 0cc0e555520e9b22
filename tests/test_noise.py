"""Start noises: each formula against a double-precision reference, and the contract every registered one keeps."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from motion_lib.diffusion.noise import START_NOISES, low_pass, mix, statistics
from motion_lib.diffusion.sampling import random_noise
from motion_lib.errors import MotionError
from tests.tiny import randn

SHAPE = (1, 4, 16, 40, 64)
WEIGHTED = {"blend", "blend_high_frequency", "blend_high_frequency_aligned"}  # those with a p in their formula
WHITE = {"blend", "inversion"}  # exactly so for white noise in; the others lose a little where two bands overlap
SHAPES = st.tuples(*(st.integers(1, n) for n in (2, 3, 7, 17, 18)))


def doubles(*shape: int) -> tuple[Tensor, Tensor]:
    return randn(*shape, dtype=torch.float64), randn(*shape, seed=1, dtype=torch.float64)


def correlation(a: Tensor, b: Tensor) -> float:
    return float((a * b).mean() / (a.square().mean() * b.square().mean()).sqrt())


# References


def shrink_matrix(size: int) -> Tensor:
    """Bilinear with antialiasing, `[⌈size/4⌉, size]`: a triangle as wide as the reduction, on pixel centres."""
    small = math.ceil(size / 4)
    scale = size / small
    centres = (torch.arange(small, dtype=torch.float64) + 0.5) * scale
    distance = (torch.arange(size, dtype=torch.float64) + 0.5 - centres[:, None]).abs()
    triangle = (1 - distance / scale).clamp(min=0)
    return triangle / triangle.sum(dim=1, keepdim=True)


def grow_matrix(size: int) -> Tensor:
    """Bilinear, `[size, ⌈size/4⌉]`: between the two nearest centres, the outermost continued."""
    small = math.ceil(size / 4)
    found = torch.zeros(size, small, dtype=torch.float64)
    for i in range(size):
        place = min(max((i + 0.5) * small / size - 0.5, 0.0), small - 1.0)
        below = min(math.floor(place), small - 1)
        above = min(below + 1, small - 1)
        found[i, below] += 1 - (place - below)
        found[i, above] += place - below
    return found


def smooth(noise: Tensor) -> Tensor:
    height, width = noise.shape[-2:]
    rows, columns = (grow_matrix(n) @ shrink_matrix(n) for n in (height, width))
    return torch.einsum("yh,bcfhw,xw->bcfyx", rows, noise, columns)


def aligned_matrix(size: int, out: int) -> Tensor:
    """Bilinear with antialiasing and aligned corners, `[out, size]`: the outermost centres of both grids meet, hence a
    step of (size − 1)/(out − 1); a triangle of at least one pixel around (i + ½) steps, as PyTorch places it."""
    step = (size - 1) / (out - 1)
    places = (torch.arange(out, dtype=torch.float64) + 0.5) * step
    distance = (torch.arange(size, dtype=torch.float64) + 0.5 - places[:, None]).abs()
    triangle = (1 - distance / max(step, 1.0)).clamp(min=0)
    return triangle / triangle.sum(dim=1, keepdim=True)


def smooth_aligned(noise: Tensor) -> Tensor:
    rows, columns = (
        aligned_matrix(math.ceil(n / 4), n) @ aligned_matrix(n, math.ceil(n / 4)) for n in noise.shape[-2:]
    )
    return torch.einsum("yh,bcfhw,xw->bcfyx", rows, noise, columns)


def published_bands(low: Tensor, high: Tensor, gaussian: bool) -> Tensor:
    """FreeInit as printed: the full complex spectrum, shifted so that frequency 0 lies in the middle."""
    shape = low.shape[-3:]
    t, y, x = (2 * torch.arange(n, dtype=torch.float64) / n - 1 for n in shape)
    squared = t[:, None, None] ** 2 + y[:, None] ** 2 + x**2
    mask = torch.exp(-squared / (2 * 0.25**2)) if gaussian else 1 / (1 + (squared / 0.25**2) ** 4)
    axes = (-3, -2, -1)
    spectra = [torch.fft.fftshift(torch.fft.fftn(noise, dim=axes), dim=axes) for noise in (low, high)]
    mixed = spectra[0] * mask + spectra[1] * (1 - mask)
    return torch.fft.ifftn(torch.fft.ifftshift(mixed, dim=axes), dim=axes).real


@pytest.mark.parametrize("size", [(16, 16), (40, 64), (32, 8), (5, 6), (1, 3)])
def test_low_pass_against_its_matrices(size: tuple[int, int]) -> None:
    noise = randn(2, 3, 2, *size, dtype=torch.float64)
    torch.testing.assert_close(low_pass(noise), smooth(noise), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(16, 16), (40, 64), (32, 8), (5, 6)])
def test_aligned_low_pass_against_its_matrices(size: tuple[int, int]) -> None:
    noise = randn(2, 3, 2, *size, dtype=torch.float64)
    torch.testing.assert_close(low_pass(noise, align_corners=True), smooth_aligned(noise), rtol=0, atol=1e-12)


def test_aligned_corners_by_hand() -> None:
    """A row of eight becomes two values and eight again: the step is 7 pixels down and 1/7 up."""
    row = torch.zeros(8, dtype=torch.float64)
    row[3] = 1.0
    # Places 3.5 and 10.5 among the pixels' middles: the one at 3.5 counts 1 of the first, nothing of the second.
    weights = [1 - abs(i - 3) / 7 for i in range(8)]
    small = [1 / sum(weights), 0.0]
    expected = []
    for i in range(8):
        near = [max(0.0, 1 - abs(0.5 + j - (i + 0.5) / 7)) for j in range(2)]
        expected.append(sum(n * v for n, v in zip(near, small, strict=True)) / sum(near))
    found = low_pass(row.expand(1, 1, 1, 8, 8), align_corners=True)
    torch.testing.assert_close(found, row.new_tensor(expected).expand(1, 1, 1, 8, 8), rtol=0, atol=1e-12)
    assert float((found - low_pass(row.expand(1, 1, 1, 8, 8))).abs().max()) > 0.01


def test_the_two_ways_of_resizing_are_far_enough_apart_to_matter() -> None:
    noise = randn(1, 4, 16, 40, 64)
    apart = (low_pass(noise, align_corners=True) - low_pass(noise)).abs()
    assert 0.3 < float(apart.max()) < 0.6 and float(apart.mean()) < 0.05


@pytest.mark.parametrize("weight", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(2, 4, 3, 16, 16), (1, 2, 4, 20, 32)])
def test_every_formula(shape: tuple[int, ...], weight: float) -> None:
    z, n = doubles(*shape)
    p, q = math.sqrt(weight), math.sqrt(1 - weight)
    expected = {
        "inversion": z,
        "blend": p * z + q * n,
        "low_frequency": smooth(z) + n - smooth(n),
        "blend_high_frequency": smooth(z) + p * (z - smooth(z)) + q * (n - smooth(n)),
        "low_frequency_aligned": smooth_aligned(z) + n - smooth_aligned(n),
        "blend_high_frequency_aligned": (smooth_aligned(z) + p * (z - smooth_aligned(z)) + q * (n - smooth_aligned(n))),
    }
    for name, noise in expected.items():
        torch.testing.assert_close(mix(z, n, weight, name), noise, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["fft", "fft_gaussian"])
@pytest.mark.parametrize("shape", [(2, 4, 16, 16, 16), (1, 4, 8, 20, 32)])
def test_bands_against_the_published_transform(name: str, shape: tuple[int, ...]) -> None:
    z, n = doubles(*shape)
    expected = published_bands(z, n, name == "fft_gaussian")
    torch.testing.assert_close(mix(z, n, noise=name), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["fft", "fft_gaussian"])
def test_a_slow_wave_comes_from_the_inverted_noise_and_a_fast_one_from_the_fresh(name: str) -> None:
    place = 2 * math.pi * torch.arange(32, dtype=torch.float64) / 32
    slow, fast = (torch.cos(cycles * place).expand(1, 1, 9, 33, 32) for cycles in (1, 14))
    found = mix(slow, fast, noise=name)
    torch.testing.assert_close(found, slow + fast, rtol=0, atol=0.05)
    assert float(mix(fast, slow, noise=name).abs().max()) < 0.05


# Contract


@pytest.mark.parametrize("name", START_NOISES)
@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
def test_contract(name: str, weight: float) -> None:
    """White noise in gives nearly white noise out; 0 is the fresh noise, bit for bit; what is coarse comes from the
    inverted noise, and more of it where the formula has a weight; inputs are left as they are."""
    inverted, fresh = randn(*SHAPE), randn(*SHAPE, seed=1)
    kept = inverted.clone(), fresh.clone()
    found = mix(inverted, fresh, weight, name)
    assert found.shape == SHAPE and found.dtype == torch.float32
    quiet = 0 if name in WHITE or not weight else 0.02
    assert abs(float(found.mean())) < 0.01 and 0.99 - quiet < float(found.std()) < 1.01
    assert torch.equal(inverted, kept[0]) and torch.equal(fresh, kept[1])
    assert torch.equal(mix(inverted, fresh, 0.0, name), fresh)
    if not weight:
        return
    coarse = [F.avg_pool3d(noise, (16, 8, 8)) for noise in (found, inverted)]  # in time, height and width
    assert correlation(*coarse) > (0.7 if name != "blend" else 0.9 * math.sqrt(weight))
    half = mix(inverted, fresh, weight / 2, name)
    if name in WEIGHTED:
        assert correlation(found, inverted) > correlation(half, inverted) + 0.05
    else:
        assert torch.equal(found, half)
    assert mix(inverted.half(), fresh.half(), weight, name).dtype == torch.float16


@pytest.mark.parametrize("name", START_NOISES)
def test_one_clip_serves_several_videos(name: str) -> None:
    inverted, fresh = randn(1, 4, 3, 8, 12), randn(3, 4, 3, 8, 12, seed=1)
    found = mix(inverted, fresh, 0.4, name)
    for i in range(3):
        torch.testing.assert_close(found[i : i + 1], mix(inverted, fresh[i : i + 1], 0.4, name))


@settings(max_examples=25, deadline=None)
@given(shape=SHAPES, name=st.sampled_from(sorted(START_NOISES)), weight=st.floats(0, 1))
def test_any_size_gives_finite_noise(shape: tuple[int, ...], name: str, weight: float) -> None:
    found = mix(*doubles(*shape), weight, name)
    assert found.shape == shape and bool(torch.isfinite(found).all())


@settings(max_examples=25, deadline=None)
@given(shape=SHAPES, name=st.sampled_from(sorted({*START_NOISES} - WEIGHTED)))
def test_the_same_noise_twice_is_that_noise(shape: tuple[int, ...], name: str) -> None:
    """The bands of a formula without a weight add up to the whole."""
    noise = doubles(*shape)[0]
    torch.testing.assert_close(mix(noise, noise, 1.0, name), noise, rtol=0, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(shape=SHAPES, align_corners=st.booleans())
def test_low_pass_keeps_what_does_not_change_over_a_frame(shape: tuple[int, ...], align_corners: bool) -> None:
    flat = randn(*shape[:3], 1, 1, dtype=torch.float64).expand(shape)
    torch.testing.assert_close(low_pass(flat, align_corners), flat, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", START_NOISES)
@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan, math.inf])
def test_bad_weights(name: str, weight: float) -> None:
    with pytest.raises(MotionError, match=f"noise weight is {weight}, .* between 0 .* and 1"):
        mix(randn(1, 2, 3, 4, 4), randn(1, 2, 3, 4, 4), weight, name)


def test_bad_input() -> None:
    noise = randn(1, 2, 3, 4, 4)
    with pytest.raises(MotionError, match=r"start noise is 'pink', but it must be one of blend, inversion"):
        mix(noise, noise, noise="pink")
    for other in (randn(1, 2, 4, 4, 4), randn(2, 2, 3, 4, 4)):
        with pytest.raises(MotionError, match=r"inverted noise is of shape .* invert a clip of the size"):
            mix(other, noise.expand(3, -1, -1, -1, -1))


# Mean and deviation


@pytest.mark.parametrize("name", START_NOISES)
def test_renormalised_noise_is_exactly_normal(name: str) -> None:
    """Inversion noise of a real clip is too quiet and off centre: here 0.6 and 0.2."""
    inverted, fresh = 0.6 * randn(1, 4, 8, 16, 16) + 0.2, randn(2, 4, 8, 16, 16, seed=1)
    plain, found = mix(inverted, fresh, 0.7, name), mix(inverted, fresh, 0.7, name, renormalise=True)
    assert abs(statistics(plain).mean) > 0.05
    for video, before in zip(found, plain, strict=True):
        seen = statistics(video)
        assert abs(seen.mean) < 1e-6 and seen.deviation == pytest.approx(1, abs=1e-6)
        assert correlation(video, before - before.mean()) == pytest.approx(1, abs=1e-6)
    assert torch.equal(mix(inverted, fresh, 0.0, name, renormalise=True), fresh)


def test_statistics_by_hand() -> None:
    seen = statistics(torch.tensor([1.0, 3.0, 1.0, 3.0]))
    assert (seen.mean, seen.deviation) == (2, 1) and str(seen) == "mean +2.000, standard deviation 1.000"
    assert statistics(torch.full((70000,), 3.0, dtype=torch.float16)).mean == pytest.approx(3)  # whose sum overflows


def test_blend_correlates_with_the_inverted_noise_as_its_square_root_says() -> None:
    inverted, fresh = randn(*SHAPE), randn(*SHAPE, seed=1)
    for weight in (0.1, 0.5, 0.9):
        found = mix(inverted, fresh, weight)
        assert float((found * inverted).mean()) == pytest.approx(math.sqrt(weight), abs=0.01)
    assert torch.equal(mix(inverted, fresh, 1.0), inverted)


def test_random_noise_is_white_and_means_the_same_everywhere() -> None:
    noise = random_noise(SHAPE, 5)
    assert abs(float(noise.mean())) < 0.01 and float(noise.std()) == pytest.approx(1, abs=0.01)
    assert torch.equal(noise, random_noise(SHAPE, 5)) and not torch.equal(noise, random_noise(SHAPE, 6))
    halves = random_noise(SHAPE, 5, like=torch.zeros(1, dtype=torch.float16))
    assert torch.equal(halves, noise.half())
