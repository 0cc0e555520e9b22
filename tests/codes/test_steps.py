"""The camera's steps: read off several frames, fitted to codes that stay as they are; and what a reading leaves to the
object."""

from __future__ import annotations

from dataclasses import replace

import torch

from motion_lib.codes.reader import Reader
from motion_lib.codes.steps import AROUND, CameraSteps
from motion_lib.sprites.recipe.codes.readout import fit_steps

from .conftest import noise
from .test_reader import clip


def test_untrained_steps_stand_still_and_the_first_is_always_none() -> None:
    steps = CameraSteps(8, 16)
    assert not steps(noise(2, 5, 8)).any()
    torch.nn.init.normal_(steps.last.weight)
    found = steps(noise(2, 5, 8))
    assert found.shape == (2, 5, 4) and not found[:, 0].any() and found[:, 1:].all()


def test_a_step_is_read_off_the_frames_around_it_only() -> None:
    steps, tokens = CameraSteps(8, 16), noise(1, 12, 8)
    torch.nn.init.normal_(steps.last.weight)
    other = tokens.clone()
    other[:, 9] += 1
    changed = (steps(tokens) != steps(other)).any(dim=-1)[0]
    assert changed.tolist() == [abs(i - 9) <= AROUND for i in range(12)]


def test_steps_are_fitted_to_codes_that_say_them() -> None:
    """Each token says, with an error of its own, where the camera looks: the mean over neighbours says it better."""
    looks = noise(600, 1, 4) * torch.linspace(0, 1, 10)[:, None]
    codes = torch.zeros(600, 10, 2, 8)
    codes[:, :, 1] = looks @ noise(4, 8, seed=2) + 0.1 * noise(600, 10, 8, seed=3)
    steps = CameraSteps(8, 32)
    loss = fit_steps(steps, codes[:500], looks[:500], steps=600)
    held, truth = codes[500:, :, 1], looks[500:]
    found = steps(held).cumsum(dim=1)
    by_frame = torch.linalg.lstsq(codes[:500, :, 1].flatten(0, 1), looks[:500].flatten(0, 1)).solution
    errors = [float((x.diff(dim=1) - truth.diff(dim=1)).square().mean().sqrt()) for x in (found, held @ by_frame)]
    assert loss < 0.1 and errors[0] < 0.6 * errors[1]
    assert not any(p.requires_grad for p in steps.parameters())


def test_what_a_reading_covers_is_the_object(reader: Reader) -> None:
    path = torch.tensor([[0.0, 0.0], [0.5, -0.5], [-0.5, 0.5], [0.0, 0.0]])
    reading = replace(reader.read(clip()), path=path, scale=torch.tensor([0.2, 0.2, 0.2, 0.4]).log())
    covers = reading.covers(16, 32)
    assert covers.shape == (4, 16, 32) and 0 <= float(covers.min()) and float(covers.max()) == 1
    places = torch.stack(torch.meshgrid(torch.arange(16), torch.arange(32), indexing="ij"), dim=-1).float()
    middles = (covers[..., None] * places).sum(dim=(1, 2)) / covers.sum(dim=(1, 2))[:, None]
    expected = torch.stack([7.5 + 8 * path[:, 1], 15.5 + 8 * path[:, 0]], dim=1)
    torch.testing.assert_close(middles, expected, atol=0.1, rtol=0)
    assert 3 < float(covers[3].sum() / covers[0].sum()) < 4.5
    assert float(covers[0, 0, 0]) == 0
