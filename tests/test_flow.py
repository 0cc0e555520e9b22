"""Flow matching: against diffusers' scheduler and by hand, and a model of it that learns and is inverted."""

from __future__ import annotations

import pytest
import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from motion_lib.diffusion.conditioning import Conditioning, joined
from motion_lib.diffusion.flow import FlowMatching
from motion_lib.diffusion.inversion import invert
from motion_lib.diffusion.sampling import sample
from motion_lib.diffusion.schedule import NoiseSchedule
from motion_lib.diffusion.schedulers import process_of
from motion_lib.errors import MotionError
from motion_lib.method.embedding import MotionEmbedding
from motion_lib.method.patch import MotionPatch
from motion_lib.training.loop import train
from motion_lib.training.settings import TrainingSettings
from motion_lib.training.state import TrainingState
from tests.tiny import randn, text, tiny_backbone, tiny_flow_denoiser

EULER = "FlowMatchEulerDiscreteScheduler"
CLIP = randn(1, 4, 3, 5, 6)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_steps_are_those_of_diffusers(shift: float) -> None:
    process = process_of({"_class_name": EULER, "shift": shift})
    theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
    times = process.timesteps(7)
    # Its own default levels are shifted twice at the lower end; given ours, unshifted, it shifts them as published.
    theirs.set_timesteps(sigmas=[1 - i / 7 for i in range(7)])
    torch.testing.assert_close(torch.tensor(times), theirs.timesteps, rtol=1e-6, atol=1e-4)
    x, generator = randn(2, 4, 3, 5, 6, seed=1), torch.Generator().manual_seed(2)
    for t, below, given in zip(times, [*times[1:], process.clean_end], theirs.timesteps, strict=True):
        predicted = torch.randn(x.shape, generator=generator)
        expected = theirs.step(predicted, given, x, return_dict=False)[0]
        moved = process.move(x, predicted, t, below)
        torch.testing.assert_close(moved, expected, rtol=1e-5, atol=1e-5)
        x = moved
    assert times[0] == 1000 and times == sorted(times, reverse=True)


def test_the_line_between_clean_and_noise() -> None:
    process, clean, noise = FlowMatching(), randn(2, 1, 1, 2, 2), randn(2, 1, 1, 2, 2, seed=1)
    at = torch.tensor([250.0, 1000.0])
    x = process.noisy(clean, noise, at)
    torch.testing.assert_close(x[0], 0.75 * clean[0] + 0.25 * noise[0])
    torch.testing.assert_close(x[1], noise[1])
    velocity = process.target(clean, noise, at)
    found, ends_in = process.clean_and_noise(x, velocity, at)
    torch.testing.assert_close(found, clean)
    torch.testing.assert_close(ends_in, noise)
    torch.testing.assert_close(process.noise(x, clean, at), noise)
    assert float(process.velocity_weight(at, x)) == 1


@pytest.mark.parametrize("shift", [0.5, 1.0, 5.0])
def test_progress_is_even_over_a_run_whatever_the_shift(shift: float) -> None:
    process = FlowMatching(shift=shift)
    found = [process.progress(t) for t in [*process.timesteps(8), process.clean_end]]
    assert found == pytest.approx([i / 8 for i in range(9)])


def test_configurations() -> None:
    assert process_of({"_class_name": EULER, "shift": 5.0}) == FlowMatching(1000, 5.0)
    unipc = {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True, "flow_shift": 3.0}
    assert process_of(unipc | {"prediction_type": "flow_prediction"}) == FlowMatching(1000, 3.0, sampler="unipc")
    assert isinstance(process_of({"_class_name": "UniPCMultistepScheduler"}), NoiseSchedule)
    for config, words in (
        ({"_class_name": "KarrasVeScheduler"}, "describes a KarrasVeScheduler, which is not known"),
        ({"_class_name": EULER, "use_dynamic_shifting": True}, "use_dynamic_shifting"),
        ({"_class_name": EULER, "shift": 0}, "The shift is 0.0, but it must be above 0"),
        ({"_class_name": EULER, "shift": "much"}, "shift is much, which is not a number"),
        ({"_class_name": EULER, "num_train_timesteps": 1}, "num_train_timesteps is 1"),
        ({"_class_name": EULER, "prediction_type": "epsilon"}, "only flow_prediction is supported"),
    ):
        with pytest.raises(MotionError, match=f"^folder/s.json.*{words}"):
            process_of(config, "folder/s.json")
    with pytest.raises(MotionError, match="choose 1 to 1000"):
        FlowMatching().timesteps(1001)


def test_a_tiny_flow_model_learns_samples_and_is_inverted() -> None:
    denoiser = tiny_flow_denoiser()
    empty = MotionEmbedding.zeros(tiny_backbone(), "all", 3, (5, 6))
    settings = TrainingSettings(steps=12, learning_rate=0.05, timesteps=(400, 999), velocity_weight=True)
    state = TrainingState.start(empty, settings, "cpu")
    assert len(list(train(denoiser, CLIP, text(), state))) == 12
    assert sum(state.losses[-4:]) < sum(state.losses[:4])

    def made(*patches: MotionPatch, **options) -> Tensor:
        return sample(denoiser, randn(1, 4, 3, 5, 6, seed=9), text(), steps=4, patches=patches, **options)

    free, learned = made(), state.learned
    assert torch.equal(made(MotionPatch(learned, strength_qk=0, strength_v=0)), free)
    assert not torch.allclose(made(MotionPatch(learned)), free, atol=1e-4)
    assert torch.equal(made(guide=lambda clean, progress: clean), free)
    still = made(guide=lambda clean, progress: clean.mean(dim=2, keepdim=True).expand_as(clean))
    torch.testing.assert_close(still[:, :, :1].expand_as(still), still)
    errors = []
    for refinements in (0, 4):
        noise = invert(denoiser, CLIP, text(), steps=8, refinements=refinements)
        errors.append(float((sample(denoiser, noise, text(), steps=8) - CLIP).norm() / CLIP.norm()))
    assert errors[1] < errors[0] and errors[1] < 0.1


def test_conditionings_are_joined_and_indexed() -> None:
    a, b = (Conditioning(text(1, seed=i), {"image": randn(1, 2, seed=i)}) for i in (1, 2))
    both = joined([a, b])
    assert len(both) == 2 and torch.equal(both[1:].parts["image"], b.parts["image"])
    assert torch.equal(joined([text(), text(seed=8)]), torch.cat([text(), text(seed=8)]))
    with pytest.raises(MotionError, match="different parts"):
        joined([a, Conditioning(text())])
    with pytest.raises(MotionError, match="image is for 2 videos, but its text is for 1"):
        Conditioning(text(), {"image": randn(2, 2)})
