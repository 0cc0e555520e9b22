"""Holding clean latents to a camera's path."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from motion_lib.camera.alignment import CameraAlignment, apart_from_camera, likeliest_path
from motion_lib.camera.path import CameraPath, pixel_centres
from motion_lib.diffusion.sampling import sample
from motion_lib.errors import MotionError
from tests.tiny import path_of, randn, text, tiny_denoiser

PATHS = {
    "pan": [[0.25 * i, -0.125 * i, 0, 0] for i in range(4)],
    "zoom and roll": [[0.05 * i, 0, 0.06 * i, 0.05 * i] for i in range(4)],
    "zoom out": [[0, 0, -0.1 * i, 0] for i in range(4)],
}


def world(path: CameraPath, size: tuple[int, int] = (16, 24)) -> Tensor:
    """A smooth picture as the camera sees it, `[1, 2, f, h, w]`."""
    points = path.to_world(pixel_centres(size))
    planes = torch.stack([torch.sin(2 * points[..., 0] + 1), torch.cos(1.5 * points[..., 1] + points[..., 0])])
    return planes.unflatten(2, size)[None]


@pytest.mark.parametrize("name", PATHS)
def test_what_follows_the_camera_stays_as_it_is(name: str) -> None:
    path = path_of(*PATHS[name])
    latents = world(path)
    found = CameraAlignment(path)(latents)
    assert (found - latents).abs().max() < (1e-5 if name == "pan" else 0.03)


@pytest.mark.parametrize("name", PATHS)
def test_what_does_not_follow_it_is_made_to(name: str) -> None:
    """All frames show one world afterwards: aligning again changes hardly anything."""
    align = CameraAlignment(path_of(*PATHS[name]))
    smooth = torch.nn.functional.avg_pool3d(randn(1, 2, 4, 16, 24), (1, 5, 5), stride=1, padding=(0, 2, 2))
    once = align(smooth)
    twice = align(once)
    assert (once - smooth).norm() > 0.5 * smooth.norm()
    assert (twice - once).norm() < (1e-4 if name == "pan" else 0.15) * once.norm()


@pytest.mark.parametrize("name", PATHS)
def test_early_the_middle_frame_says_what_there_is_to_see(name: str) -> None:
    """However little the frames agree; where it does not see, the nearest to it do."""
    path = path_of(*PATHS[name])
    frames = world(path) * torch.tensor([-3.0, 1.0, 0.5, -2.0])[:, None, None]
    early, late = (CameraAlignment(path)(frames, progress) for progress in (0.2, 0.6))
    away, usual = (1 - torch.nn.functional.cosine_similarity(x, world(path), dim=1) for x in (early, late))
    assert away.median() < 0.01 < 0.5 < usual.median()


def test_each_video_by_itself_and_in_any_precision() -> None:
    align = CameraAlignment(path_of(*PATHS["zoom and roll"]))
    both = randn(2, 4, 4, 8, 10)
    torch.testing.assert_close(align(both)[1:], align(both[1:]))
    half = align(both.half())
    assert half.dtype == torch.float16 and (half.float() - align(both)).abs().max() < 0.01


def test_strength_and_frames() -> None:
    path, latents = path_of(*PATHS["pan"]), randn(1, 2, 4, 8, 8)
    whole = CameraAlignment(path)(latents)
    torch.testing.assert_close(CameraAlignment(path, strength=0.25)(latents), latents + 0.25 * (whole - latents))
    assert CameraAlignment(path)(randn(1, 2, 7, 8, 8)).shape == (1, 2, 7, 8, 8)  # the path is resampled


def test_what_moves_apart_is_left_alone_and_not_spread() -> None:
    """A square that stands before a panning background: found in the clip, kept where it is, in no other place."""
    path = path_of(*[[0.25 * i, 0, 0, 0] for i in range(4)])
    background = world(path, (16, 16))
    clip = background.clone()
    clip[:, :, :, 6:10, 6:10] = 4.0
    apart = apart_from_camera(clip, path)
    assert apart.shape == (4, 16, 16) and apart[:, 6:10, 6:10].min() > 0.9 and apart[:, :3].max() < 0.5
    held = CameraAlignment(path, apart=apart)(clip)
    torch.testing.assert_close(held[:, :, :, 7:9, 7:9], clip[:, :, :, 7:9, 7:9], atol=0.05, rtol=0)
    without = CameraAlignment(path)(clip)
    beside = (slice(None), slice(None), slice(None), slice(6, 10), slice(0, 4))
    assert (held - background)[beside].abs().max() < 0.1 < (without - background)[beside].abs().max()


@pytest.mark.parametrize("name", PATHS)
def test_a_clips_own_path_is_told_from_others(name: str) -> None:
    paths = {n: path_of(*rows) for n, rows in PATHS.items()}
    paths["still"] = paths["pan"].scaled(0)
    clip, still = world(paths[name]), world(paths["still"])
    for latents in (clip, still):
        latents[:, :, 1:3, 6:9, 3:5] = 3.0  # something that comes and goes
    assert likeliest_path(clip, list(paths.values())) is paths[name]
    assert likeliest_path(still, list(paths.values())) is paths["still"]


def test_sampling_is_held_for_as_long_as_asked() -> None:
    """With alignment to the end the video is a fixed point of it; strength 0 changes nothing, bit for bit."""
    path = path_of(*[[0.4 * i, 0, 0, 0] for i in range(3)])
    noise, words, denoiser = randn(1, 4, 3, 5, 6), text(), tiny_denoiser()
    free = sample(denoiser, noise, words, steps=4)
    assert torch.equal(sample(denoiser, noise, words, steps=4, guide=CameraAlignment(path, strength=0)), free)
    held = sample(denoiser, noise, words, steps=4, guide=CameraAlignment(path))
    torch.testing.assert_close(CameraAlignment(path)(held), held, atol=1e-4, rtol=0)
    early = sample(denoiser, noise, words, steps=4, guide=CameraAlignment(path, end=0.3))
    assert not torch.allclose(early, free, atol=1e-4) and not torch.allclose(early, held, atol=1e-4)


def guidance_at(camera: CameraAlignment, progress: float) -> float:
    by_progress = camera.guidance(3.0)
    assert callable(by_progress)
    return by_progress(progress)


def test_the_prompt_has_more_weight_early(monkeypatch: pytest.MonkeyPatch) -> None:
    path = path_of(*[[0.4 * i, 0, 0, 0] for i in range(3)])
    denoiser = tiny_denoiser()
    plain, strong = CameraAlignment(path, emphasis=1.0), CameraAlignment(path, emphasis=2.0)

    def made(guidance: float, camera: CameraAlignment) -> Tensor:
        words = {"conditioning": text(), "unconditional": text(seed=8)}
        words |= {"guidance": camera.guidance(guidance), "guide": camera}
        return sample(denoiser, randn(1, 4, 3, 5, 6), **words, steps=4)

    assert not torch.allclose(made(3, strong), made(3, plain))
    assert not torch.allclose(made(3, strong), made(6, plain))
    with monkeypatch.context() as patched:
        patched.setattr("motion_lib.camera.alignment.EARLY", 1.0)
        torch.testing.assert_close(made(3, strong), made(6, plain))
    assert [guidance_at(strong, progress) for progress in (0, 0.4, 0.5, 1)] == [6, 6, 3, 3]
    assert guidance_at(CameraAlignment(path, start=0.2, end=0.3, emphasis=2.0), 0.1) == 3


def test_without_guidance_there_is_nothing_to_emphasise() -> None:
    """At guidance 1 every step is one pass with the prompt alone, as without a camera."""
    camera = CameraAlignment(path_of(*[[0.4 * i, 0, 0, 0] for i in range(3)]))
    noise, denoiser = randn(1, 4, 3, 5, 6), tiny_denoiser()
    guided = sample(denoiser, noise, text(), guidance=camera.guidance(1.0), steps=4, guide=camera)
    assert camera.guidance(1.0) == 1.0 and torch.equal(guided, sample(denoiser, noise, text(), steps=4, guide=camera))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"strength": 1.5}, "strength of the camera's motion is 1.5"),
        ({"strength": float("nan")}, "strength of the camera's motion is nan"),
        ({"start": 0.8, "end": 0.2}, "start 0.8 and end 0.2"),
        ({"emphasis": 0.0}, "emphasis on the prompt is 0.0"),
    ],
)
def test_bad_numbers_are_explained(bad: dict[str, float], message: str) -> None:
    with pytest.raises(MotionError, match=message):
        CameraAlignment(path_of(*PATHS["pan"]), **bad)
