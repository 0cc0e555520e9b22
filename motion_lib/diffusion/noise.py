"""Start noises. Every one is `(inverted, fresh, weight) -> noise` over `[b, c, f, h, w]`: `inverted` comes from DDIM
inversion of the reference, `fresh` is Gaussian.

The weight is the p of the formula, from 0 to 1; where a formula has none (inversion, low_frequency with or without
aligned corners, fft, fft_gaussian) it changes nothing. In `mix`, weight 0 always means the fresh noise itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MotionError

StartNoise = Callable[[Tensor, Tensor, float], Tensor]

SHRINK = 4  # of height and width, in `low_pass`
STOP = 0.25  # d_s = d_t: where the masks of `fft` fall to a half, in units of the highest frequency
ORDER = 4  # of the Butterworth mask


def inversion(inverted: Tensor, fresh: Tensor, weight: float) -> Tensor:
    """z_inv (VMC, arXiv 2312.00845)."""
    return inverted.expand_as(fresh)


def blend(inverted: Tensor, fresh: Tensor, weight: float) -> Tensor:
    """√p·z_inv + √(1−p)·n, which keeps unit variance (MotionDirector, arXiv 2310.08465; Motion Inversion)."""
    return math.sqrt(weight) * inverted + math.sqrt(1 - weight) * fresh


def low_frequency(inverted: Tensor, fresh: Tensor, weight: float) -> Tensor:
    """L(z_inv) + (n − L(n)) with L = `low_pass` (DMT, arXiv 2311.17009)."""
    return fresh + low_pass(inverted - fresh)


def blend_high_frequency(inverted: Tensor, fresh: Tensor, weight: float) -> Tensor:
    """L(z_inv) + √p·(z_inv − L(z_inv)) + √(1−p)·(n − L(n)) with L = `low_pass` (Motion Inversion)."""
    return _blended_above(inverted, fresh, weight, align_corners=False)


def low_frequency_aligned(inverted: Tensor, fresh: Tensor, weight: float) -> Tensor:
    """As `low_frequency`, with L resized as the authors of Motion Inversion do it: with corners aligned."""
    return fresh + low_pass(inverted - fresh, align_corners=True)


def blend_high_frequency_aligned(inverted: Tensor, fresh: Tensor, weight: float) -> Tensor:
    """As `blend_high_frequency`, with L resized as the authors of Motion Inversion do it: with corners aligned."""
    return _blended_above(inverted, fresh, weight, align_corners=True)


def fft(inverted: Tensor, fresh: Tensor, weight: float) -> Tensor:
    """Frequencies below STOP from z_inv, the others from n, parted by a Butterworth mask 1/(1 + (d²/d_s²)^n) in the
    Fourier transform over frames, height and width (FreeInit, arXiv 2312.07537, sec. 4.1)."""
    return _mixed_bands(inverted, fresh, lambda squared: 1 / (1 + (squared / STOP**2) ** ORDER))


def fft_gaussian(inverted: Tensor, fresh: Tensor, weight: float) -> Tensor:
    """As `fft`, by a Gaussian mask exp(−d²/(2·d_s²)), which parts the bands more softly."""
    return _mixed_bands(inverted, fresh, lambda squared: torch.exp(-squared / (2 * STOP**2)))


START_NOISES: dict[str, StartNoise] = {
    "blend": blend,
    "inversion": inversion,
    "low_frequency": low_frequency,
    "blend_high_frequency": blend_high_frequency,
    "fft": fft,
    "fft_gaussian": fft_gaussian,
    "low_frequency_aligned": low_frequency_aligned,
    "blend_high_frequency_aligned": blend_high_frequency_aligned,
}

# What the arguments of `mix` mean, for command line and nodes.
NOISE_HELP = (
    "How the clip's noise and fresh noise are put together: blend mixes both everywhere, inversion takes the clip's "
    "alone, low_frequency, fft and fft_gaussian take coarse structure from the clip and the rest from fresh noise, and "
    "blend_high_frequency blends the rest. Methods ending in _aligned resize as the authors of Motion Inversion do, to "
    "reproduce their results."
)
RENORMALISE_HELP = "Brings the mixed noise to mean 0 and standard deviation 1, as a model expects it."


def mix(
    inverted: Tensor, fresh: Tensor, weight: float = 0.5, noise: str = "blend", renormalise: bool = False
) -> Tensor:
    """The start noise `[b, c, f, h, w]` of this name in START_NOISES; one inverted clip serves all of `fresh`.

    Weight 0 is the fresh noise, bit for bit. renormalise: shift and scale every video to mean 0 and variance 1, since
    inverted noise is not exactly white, nor is what mixes bands of it (`statistics` says how far off).
    Raises MotionError for an unknown name, unequal shapes or a weight outside 0 to 1.
    """
    if noise not in START_NOISES:
        raise MotionError(f"The start noise is '{noise}', but it must be one of {', '.join(START_NOISES)}.")
    if not 0 <= weight <= 1:
        raise MotionError(
            f"The noise weight is {weight}, but it must lie between 0 (fresh noise) and 1 (inverted noise)."
        )
    if inverted.shape[1:] != fresh.shape[1:] or len(inverted) not in (1, len(fresh)):
        raise MotionError(
            f"The inverted noise is of shape {list(inverted.shape)} and the fresh noise of {list(fresh.shape)}: "
            f"invert a clip of the size and number of frames that are generated."
        )
    if weight == 0:
        return fresh
    mixed = START_NOISES[noise](inverted, fresh, weight)
    return renormalised(mixed) if renormalise else mixed


def renormalised(noise: Tensor) -> Tensor:
    """Every video of `[b, c, f, h, w]` shifted and scaled to mean 0 and variance 1."""
    exact = _at_least_single(noise)
    deviation, mean = torch.std_mean(exact, dim=(1, 2, 3, 4), correction=0, keepdim=True)
    return ((exact - mean) / deviation).to(noise)


@dataclass(frozen=True)
class NoiseStatistics:
    """Mean and standard deviation over all values: 0 and 1 for white noise."""

    mean: float
    deviation: float

    def __str__(self) -> str:
        return f"mean {self.mean:+.3f}, standard deviation {self.deviation:.3f}"


def statistics(noise: Tensor) -> NoiseStatistics:
    """What there is to know of a start noise before sampling: too quiet gives flat, too loud gives garish pictures."""
    deviation, mean = torch.std_mean(_at_least_single(noise), correction=0)
    return NoiseStatistics(float(mean), float(deviation))


def low_pass(noise: Tensor, align_corners: bool = False) -> Tensor:
    """L: every frame of `[b, c, f, h, w]` reduced to a quarter of its height and width and brought back, bilinear and
    antialiased; sides that four does not divide are reduced to the next larger whole size.

    align_corners: as F.interpolate understands it. A step of the small grid then is (n − 1)/(⌈n/4⌉ − 1) pixels of n
    instead of n/⌈n/4⌉, so that the two differ most at the right and lower edge.
    """
    frames = _at_least_single(noise).flatten(0, 2)[:, None]
    size = noise.shape[3], noise.shape[4]
    small = [-(-side // SHRINK) for side in size]
    for target in (small, size):
        frames = F.interpolate(frames, size=target, mode="bilinear", align_corners=align_corners, antialias=True)
    return frames.reshape(noise.shape).to(noise)


def _blended_above(inverted: Tensor, fresh: Tensor, weight: float, align_corners: bool) -> Tensor:
    """What is coarse of z_inv, and above it √p of z_inv and √(1−p) of n."""
    low, low_fresh = (low_pass(noise, align_corners) for noise in (inverted, fresh))
    return low + math.sqrt(weight) * (inverted - low) + math.sqrt(1 - weight) * (fresh - low_fresh)


def _mixed_bands(inverted: Tensor, fresh: Tensor, mask_of: Callable[[Tensor], Tensor]) -> Tensor:
    """mask·F(z_inv) + (1 − mask)·F(n), back in space and time."""
    exact = _at_least_single(inverted - fresh)
    shape = exact.shape[2:]
    mask = mask_of(_squared_frequencies(shape, exact))
    # F is linear: one transform of the difference does for both, and half a spectrum for real values.
    low = torch.fft.irfftn(mask * torch.fft.rfftn(exact, dim=(2, 3, 4)), s=shape, dim=(2, 3, 4))
    return fresh + low.to(fresh)


def _squared_frequencies(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """d² over the half spectrum of `[f, h, w]`: every frequency as a share of the highest, squared and summed.

    Published as (2t/T − 1)² on the shifted spectrum, which is the same for even T; for odd T that misses frequency 0
    and would make noise complex.
    """
    f, h, w = shape
    on = {"dtype": like.dtype, "device": like.device}
    axes = [torch.fft.fftfreq(n, d=0.5, **on) for n in (f, h)] + [torch.fft.rfftfreq(w, d=0.5, **on)]
    t, y, x = (axis.square() for axis in axes)
    return t[:, None, None] + y[:, None] + x


def _at_least_single(noise: Tensor) -> Tensor:
    """Half precision has neither antialiasing nor transforms on every device, and not the range for sums of squares."""
    return noise if noise.dtype == torch.float64 else noise.float()
