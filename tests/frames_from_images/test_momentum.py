"""Temporal momentum attention: the running mean against its recursion, and the patched UNet against diffusers' own."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from motion_lib.diffusion.sampling import sample
from motion_lib.diffusion.schedule import NoiseSchedule
from motion_lib.errors import MotionError
from motion_lib.frames_from_images.denoiser import ImageDenoiser
from motion_lib.frames_from_images.momentum import Momentum, parse_scales, running_mean, scale_of
from motion_lib.frames_from_images.tiny import TEXT_WIDTH, tiny_unet
from motion_lib.method.embedding import MotionEmbedding
from motion_lib.method.patch import MotionPatch
from tests.tiny import SCHEDULE, randn, tiny_backbone

FRAMES, SIZE = 4, (8, 12)


def denoiser(momentum: Momentum | None = None) -> ImageDenoiser:
    return replace(ImageDenoiser.of(tiny_unet(), NoiseSchedule.from_config(SCHEDULE)), momentum=momentum)


def text(videos: int = 1, seed: int = 7) -> Tensor:
    return randn(videos, 3, TEXT_WIDTH, seed=seed)


def predict(model: ImageDenoiser, latents: Tensor, words: Tensor, timestep: int = 500) -> Tensor:
    with torch.no_grad():
        return model(latents, torch.full((len(latents),), timestep), words)


def recursion(frames: Tensor, momentum: float) -> Tensor:
    """x̃ of `[f, …]`, as it is defined."""
    means = [frames[0]]
    for frame in frames[1:]:
        means.append(momentum * means[-1] + (1 - momentum) * frame)
    return torch.stack(means)


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.98, 1.0])
def test_the_mean_is_the_recursion_of_each_video_and_each_part(momentum: float) -> None:
    features = randn(2, 5, 3, 7, 6, dtype=torch.float64)  # videos, frames, parts, tokens, width
    expected = torch.stack([recursion(video, momentum) for video in features])
    found = running_mean(features.flatten(0, 2), momentum, videos=2, frames=5).unflatten(0, (2, 5, 3))
    assert torch.allclose(found, expected, atol=1e-6)
    if momentum == 1:
        assert torch.equal(found, features[:, :1].expand_as(features))
    if momentum == 0:
        assert torch.equal(found, features)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_mean_of_equal_frames_is_the_frame_also_in_half_precision(dtype: torch.dtype) -> None:
    features = randn(1, 9, 8).to(dtype).expand(24, 9, 8).contiguous()
    error = (running_mean(features, 0.98, 1, 24) - features).abs().float() / features.abs().float()
    assert float(error.max()) < 2 * torch.finfo(dtype).eps


class Defined:
    """Self-attention written out from its definition for `[f, n, c]`, with the mean of the keys and values themselves
    rather than of what they are computed from."""

    def __init__(self, momentum: float):
        self.momentum = momentum

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any):
        q = attn.to_q(hidden_states)
        k, v = (
            layer(hidden_states if encoder_hidden_states is None else encoder_hidden_states)
            for layer in (attn.to_k, attn.to_v)
        )
        if encoder_hidden_states is None:
            k, v = recursion(k, self.momentum), recursion(v, self.momentum)
        q, k, v = (x.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in (q, k, v))
        weights = F.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), dim=-1)
        return attn.to_out[0]((weights @ v).transpose(1, 2).flatten(2))


@pytest.mark.parametrize("momentum", [0.5, 0.98, 1.0])
def test_the_model_is_the_definition_and_both_readings_of_it_are_the_same(momentum: float) -> None:
    latents = randn(1, 4, FRAMES, *SIZE)
    found = predict(denoiser(Momentum(momentum)), latents, text())
    unet = tiny_unet().eval()
    unet.set_attn_processor(Defined(momentum))
    with torch.no_grad():
        expected = unet(latents[0].movedim(1, 0), 500, text().expand(FRAMES, -1, -1)).sample.movedim(0, 1)[None]
    plain = predict(denoiser(), latents, text())
    assert float((found - expected).abs().max()) < 1e-5
    assert float((found - plain).abs().max()) > 0.05


def test_a_model_without_momentum_is_diffusers_own_bit_for_bit() -> None:
    latents = randn(2, 4, FRAMES, *SIZE)
    model, unet = denoiser(), tiny_unet().eval()
    with torch.no_grad():
        frames = latents.transpose(1, 2).flatten(0, 1)
        expected = unet(frames, 500, text(2).repeat_interleave(FRAMES, 0)).sample
    expected = expected.unflatten(0, (2, FRAMES)).transpose(1, 2)
    assert torch.equal(predict(model, latents, text(2)), expected)
    assert not torch.equal(predict(replace(model, momentum=Momentum()), latents, text(2)), expected)
    assert torch.equal(predict(replace(model, momentum=Momentum(0.0)), latents, text(2)), expected)
    assert torch.equal(predict(model, latents, text(2)), expected)  # un-patched again


def test_with_momentum_one_only_the_first_frame_is_looked_at() -> None:
    """Frame 2 is another; frames 1 and 3 do not notice, while frame 3 does at any other momentum."""
    latents = randn(1, 4, 3, *SIZE)
    changed = latents.clone()
    changed[:, :, 1] = randn(4, *SIZE, seed=9)
    for momentum, notices in ((1.0, False), (0.98, True)):
        model = denoiser(Momentum(momentum))
        difference = (predict(model, latents, text()) - predict(model, changed, text())).abs().amax((0, 1, 3, 4))
        assert float(difference[0]) < 1e-6  # the first frame never looks at another
        assert float(difference[1]) > 0.1
        assert (float(difference[2]) > 1e-5) == notices


def test_videos_of_a_batch_are_apart() -> None:
    """Both halves of classifier-free guidance, and several videos."""
    model, latents, words = denoiser(Momentum(0.9)), randn(2, 4, FRAMES, *SIZE), text(2)
    together = predict(model, latents, words)
    for i in range(2):
        assert torch.allclose(together[i : i + 1], predict(model, latents[i : i + 1], words[i : i + 1]), atol=1e-5)


def test_sampling_with_guidance_is_both_halves_by_themselves() -> None:
    model, noise, words, empty = denoiser(Momentum(0.9)), randn(1, 4, FRAMES, *SIZE), text(), text(seed=8)
    found = sample(model, noise, words, unconditional=empty, guidance=3.0, steps=3)
    x, times = noise, model.process.timesteps(3)
    for time, below in zip(times, [*times[1:], model.process.clean_end], strict=True):
        without, towards = (predict(model, x, each, time) for each in (empty, words))
        x = model.process.move(x, without + 3.0 * (towards - without), time, below)
    assert torch.allclose(found, x, atol=1e-4)


def test_one_frame_has_nothing_to_look_back_at() -> None:
    latents = randn(1, 4, 1, *SIZE)
    assert torch.equal(predict(denoiser(Momentum(0.9)), latents, text()), predict(denoiser(), latents, text()))


@pytest.mark.parametrize(("timestep", "acts"), [(999, False), (700, True), (500, True), (300, False), (1, False)])
def test_it_acts_in_its_part_of_sampling(timestep: int, acts: bool) -> None:
    latents, plain = randn(1, 4, FRAMES, *SIZE), denoiser()
    part = replace(plain, momentum=Momentum(0.9, start=0.2, end=0.6))
    assert torch.equal(predict(part, latents, text(), timestep), predict(plain, latents, text(), timestep)) != acts


def test_scales_choose_layers() -> None:
    latents, model = randn(1, 4, FRAMES, *SIZE), denoiser()
    tokens: set[int] = set()
    hooks = [
        module.register_forward_hook(lambda _, arguments, __: tokens.add(arguments[0].shape[1]))
        for module in model.unet.modules()
        if type(module).__name__ == "Attention"
    ]
    plain = predict(model, latents, text())
    for hook in hooks:
        hook.remove()
    assert tokens == {96, 24, 6}  # scales 1, 2 and, in the middle block, 4
    found = {
        scales: predict(replace(model, momentum=Momentum(0.9, scales=scales)), latents, text())
        for scales in ((), (1,), (2,), (4,), (1, 2, 4), (8,))
    }
    assert torch.equal(found[()], found[(1, 2, 4)]) and torch.equal(found[(8,)], plain)
    different = [plain, found[(1,)], found[(2,)], found[(4,)], found[()]]
    assert all(not torch.equal(a, b) for i, a in enumerate(different) for b in different[:i])


def test_scales_are_read_from_sizes_and_from_texts() -> None:
    assert [scale_of(size, (40, 65)) for size in ((40, 65), (20, 33), (10, 17), (5, 9), (3, 5))] == [1, 2, 4, 8, 16]
    assert parse_scales("scales", " 1, 2") == (1, 2) and parse_scales("scales", " ") == ()


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda: Momentum(1.1), "momentum is 1.1"),
        (lambda: Momentum(-0.1), "between 0 .* and 1"),
        (lambda: Momentum(math.nan), "momentum is nan"),
        (lambda: Momentum(start=0.6, end=0.2), "start 0.6 to end 0.2"),
        (lambda: Momentum(end=math.nan), "in this order"),
        (lambda: Momentum(scales=(1, 3)), "3 is no scale of a layer: choose among 1, 2, 4"),
        (lambda: parse_scales("--scales", "fine"), "--scales is 'fine', but it must be a list of 1, 2, 4"),
        (lambda: sample(denoiser(), randn(1, 4, 2, 8, 8), text(), patches=[motion()]), "does not fit"),
    ],
)
def test_bad_input_is_one_sentence(attempt: Any, words: str) -> None:
    with pytest.raises(MotionError, match=words) as error:
        attempt()
    assert "\n" not in str(error.value)


def motion() -> MotionPatch:
    return MotionPatch(MotionEmbedding.zeros(tiny_backbone(), "all", 2, (8, 8)))
