"""Training on several clips of one motion, and on a region of the picture."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from motion_lib.errors import MotionError
from motion_lib.training.loop import train
from motion_lib.training.losses import LOSSES
from motion_lib.training.settings import TrainingSettings
from motion_lib.training.state import TrainingState
from tests.runs import CLIP, Watched, begin, finish
from tests.tiny import randn, text, tiny_denoiser

CLIPS = randn(3, 4, 3, 5, 6)


def test_of_several_clips_every_step_draws_one_with_its_own_text() -> None:
    denoiser, words = Watched(tiny_denoiser()), text(3)
    state = begin(TrainingSettings(steps=12, seed=1), "mid_block*")
    texts = []
    inner = denoiser.inner
    denoiser.inner = lambda x, t, c, p: (texts.append(c), inner(x, t, c, p))[1]
    for _ in train(denoiser, CLIPS, words, state):
        pass
    assert {tuple(x.shape) for x in denoiser.latents} == {(1, 4, 3, 5, 6)} and len(denoiser.latents) == 12
    alphas = tiny_denoiser().process.alphas_cumprod
    generator, seen = torch.Generator().manual_seed(1), []
    for x, t, c in zip(denoiser.latents, denoiser.timesteps, texts, strict=True):
        seen += [int(torch.randint(3, (), generator=generator))]
        assert t == int(torch.randint(0, 1000, (), generator=generator))
        noise = torch.randn(1, 4, 3, 5, 6, generator=generator)
        expected = float(alphas[t]) ** 0.5 * CLIPS[seen[-1]] + float(1 - alphas[t]) ** 0.5 * noise
        torch.testing.assert_close(x, expected)
        assert torch.equal(c, words[seen[-1]][None])
    assert set(seen) == {0, 1, 2}


def test_each_clip_needs_its_text() -> None:
    with pytest.raises(MotionError, match="Each clip needs one text, but 1 were given for 3"):
        next(train(tiny_denoiser(), CLIPS, text(), begin(TrainingSettings())))


def region(*shape: int) -> Tensor:
    """1 in the left half, 0 elsewhere."""
    mask = torch.zeros(shape)
    mask[..., :3] = 1
    return mask


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shape", [(5, 6), (3, 5, 6), (1, 1, 3, 5, 6)])
def test_only_the_region_counts(loss: str, shape: tuple[int, ...]) -> None:
    """What the model predicts elsewhere changes neither loss nor embedding; inside it does."""

    def run(place: slice, mask: Tensor | None) -> TrainingState:
        def spoil(prediction: Tensor, call: int) -> Tensor:
            noise = randn(*prediction.shape, seed=call)
            keep = torch.zeros_like(prediction)
            keep[..., place] = 1
            return prediction + keep * noise

        state, denoiser = begin(TrainingSettings(steps=2, loss=loss, seed=2)), Watched(tiny_denoiser(), spoil)
        for _ in train(denoiser, CLIP, text(), state, mask):
            pass
        return state

    mask = region(*shape)
    plain, outside, inside = (run(place, mask) for place in (slice(0, 0), slice(3, 6), slice(0, 3)))
    assert plain.losses == outside.losses != inside.losses
    assert all(torch.equal(t, outside.embedding.tensors[k]) for k, t in plain.embedding.tensors.items())
    assert run(slice(0, 0), None).losses != plain.losses


def test_a_mask_gives_the_mean_over_its_region() -> None:
    """Against a mean of squares over the region; soft masks weigh it, and a mask of ones is no mask."""
    settings = TrainingSettings(steps=1, seed=5)
    soft = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(0))
    denoiser = Watched(tiny_denoiser(), lambda p, call: kept.append(p.detach()) or p)
    for mask in (region(3, 5, 6), soft, torch.ones(5, 6), 7 * torch.ones(1, 1, 1)):
        kept: list[Tensor] = []
        state = begin(settings)
        next(train(denoiser, CLIP, text(), state, mask))
        generator = torch.Generator().manual_seed(5)
        torch.randint(0, 1000, (1,), generator=generator)
        squares = (kept[0] - torch.randn(CLIP.shape, generator=generator)).double().square()
        weights = mask.double().expand_as(squares)
        assert state.loss == pytest.approx(float((weights * squares).sum() / weights.sum()), rel=1e-5)
    assert state.loss == pytest.approx(finish(begin(settings)).loss, rel=1e-6)


def test_each_clip_may_have_its_mask() -> None:
    """The second clip's mask is the first's, doubled: the scale of a mask says nothing."""
    masks = torch.stack([region(1, 3, 5, 6), 2 * region(1, 3, 5, 6), region(1, 3, 5, 6)])
    one, each = (begin(TrainingSettings(steps=4), "mid_block*") for _ in range(2))
    for state, mask in ((one, masks[0]), (each, masks)):
        for _ in train(tiny_denoiser(), CLIPS, text(3), state, mask):
            pass
    assert one.losses == pytest.approx(each.losses, rel=1e-6)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(7, 6), r"mask has the shape \[7, 6\], which does not fit latents \[1, 4, 3, 5, 6\]"),
        (torch.ones(2, 1, 3, 5, 6), "does not fit"),
        (torch.zeros(5, 6), "some that are not 0"),
        (-torch.ones(5, 6), "not negative"),
        (torch.full((5, 6), math.nan), "finite"),
        (torch.full((5, 6), math.inf), "finite"),
    ],
)
def test_bad_masks(mask: Tensor, message: str) -> None:
    with pytest.raises(MotionError, match=message):
        next(train(tiny_denoiser(), CLIP, text(), begin(TrainingSettings()), mask))
