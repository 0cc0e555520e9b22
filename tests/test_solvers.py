"""From step to step: UniPC against diffusers' scheduler and against the exact path, and who chooses it."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

from motion_lib.diffusion.flow import FlowMatching
from motion_lib.diffusion.process import Process, Time
from motion_lib.diffusion.sampling import sample
from motion_lib.diffusion.schedule import NoiseSchedule
from motion_lib.diffusion.schedulers import process_of
from motion_lib.diffusion.solvers import SOLVERS, solver
from motion_lib.errors import MotionError
from tests.tiny import randn, text, tiny_denoiser, tiny_flow_denoiser

UNIPC = {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True, "prediction_type": "flow_prediction"}


def run(process: Process, name: str, x: Tensor, model: Callable[[Tensor, float], Tensor], times: list[Time]) -> Tensor:
    move = solver(name, process)
    for i, (time, below) in enumerate(zip(times, [*times[1:], process.clean_end], strict=True)):
        clean, noise = process.clean_and_noise(x, model(x, time / len(process)), time)
        x = move(x, clean, noise, time, below, i == len(times) - 1)
    return x


def curved(x: Tensor, sigma: float) -> Tensor:
    """A velocity that is neither linear in x nor in σ."""
    return torch.sin(2 * x) * (1 + sigma) + math.cos(5 * sigma)


@pytest.mark.parametrize("steps", [1, 2, 3, 8])
@pytest.mark.parametrize("shift", [1.0, 5.0])
def test_unipc_is_that_of_diffusers(shift: float, steps: int) -> None:
    """At the levels of diffusers, which begins a little below pure noise."""
    theirs = UniPCMultistepScheduler(use_flow_sigmas=True, flow_shift=shift, prediction_type="flow_prediction")
    theirs.set_timesteps(steps)
    sigmas, x = [float(sigma) for sigma in theirs.sigmas], randn(2, 4, 3, 5, 6).double()
    expected = x
    for sigma, time in zip(sigmas, theirs.timesteps, strict=False):
        expected = theirs.step(curved(expected, sigma), time, expected, return_dict=False)[0]
    process = process_of(UNIPC | {"flow_shift": shift})
    assert process.sampler == "unipc"
    found = run(process, "unipc", x, curved, [1000 * sigma for sigma in sigmas[:-1]])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_of_variance_preserving_noise_too() -> None:
    config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    theirs = UniPCMultistepScheduler(**config, timestep_spacing="trailing", final_sigmas_type="zero")
    theirs.set_timesteps(6)
    x = randn(1, 4, 3, 5, 6).double()
    process = NoiseSchedule.from_config(config | {"timestep_spacing": "trailing"})
    times: list[Time] = [int(time) for time in theirs.timesteps]
    expected = x
    for time in theirs.timesteps:
        expected = theirs.step(curved(expected, int(time) / 1000), time, expected, return_dict=False)[0]
    torch.testing.assert_close(run(process, "unipc", x, curved, times), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("shift", "steps"), [(1.0, 8), (3.0, 20)])
def test_it_comes_nearer_to_the_exact_path(shift: float, steps: int) -> None:
    """Of clean latents that are normally distributed with mean .3 and deviation .5 the exact velocity is known; the
    path begins at pure noise, where λ has no end."""
    process = FlowMatching(shift=shift)

    def exact(x: Tensor, sigma: float) -> Tensor:
        variance = 0.25 * (1 - sigma) ** 2 + sigma**2
        clean = 0.3 + 0.25 * (1 - sigma) / variance * (x - 0.3 * (1 - sigma))
        return (x - clean) / sigma

    x = randn(1, 4, 3, 5, 6).double()
    ends = 0.3 + 0.5 * x

    def error(name: str, steps: int) -> float:
        return float((run(process, name, x, exact, list(process.timesteps(steps))) - ends).square().mean().sqrt())

    assert error("unipc", steps) < 0.5 * error("euler", 20)
    assert error("unipc", 32) < 0.4 * error("unipc", 16)  # of the second order, but for the ends


def test_who_chooses() -> None:
    model, noise = tiny_flow_denoiser(), randn(1, 4, 3, 5, 6)
    usual = sample(model, noise, text(), steps=5)
    assert model.process.sampler == "euler" and torch.equal(
        usual, sample(model, noise, text(), steps=5, sampler="euler")
    )
    found = sample(model, noise, text(), steps=5, sampler="unipc")
    assert not torch.equal(found, usual) and torch.isfinite(found).all()
    other = tiny_denoiser()
    assert torch.isfinite(sample(other, noise, text(), steps=5, sampler="unipc")).all()
    with pytest.raises(MotionError, match=f"sampler is 'heun', but it must be one of {', '.join(SOLVERS)}"):
        sample(model, noise, text(), steps=5, sampler="heun")
