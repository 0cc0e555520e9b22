"""The fast forward pass is diffusers' own, in predictions and in gradients of the patches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from motion_lib.backbones.unet3d.denoiser import UNet3DDenoiser
from motion_lib.backbones.unet3d.frozen_pass import PARTS, FrozenPass
from motion_lib.method.patch import MotionPatch, PreparedPatch
from tests.tiny import randn, random_embedding, text, tiny_denoiser, tiny_unet


def results(run, denoiser: UNet3DDenoiser, videos: int = 1, frames: int = 3, size=(5, 6), sites="all") -> list[Tensor]:
    """Prediction and gradient of every tensor of a random embedding, float64."""
    latents = randn(videos, 4, frames, *size, seed=3, dtype=torch.float64)
    embedding = random_embedding(denoiser.backbone, sites, frames, size, dtype=torch.float64)
    live = embedding.with_tensors({k: t.requires_grad_() for k, t in embedding.tensors.items()})
    patch = MotionPatch(live).prepare(frames, size, "cpu", torch.float64)
    steps = torch.tensor([700, 20][:videos])
    out = run(latents, steps, text(videos, dtype=torch.float64), [patch])
    (out * randn(*out.shape, seed=4, dtype=torch.float64)).sum().backward()
    gradients = [t.grad for t in live.tensors.values() if t.grad is not None]
    assert len(gradients) == len(live.tensors)
    return [out.detach(), *gradients]


def same(ours: list[Tensor], theirs: list[Tensor], tolerance: float = 1e-10) -> None:
    assert all(t.abs().max() > 1e-3 for t in theirs[:2])
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("recompute", [(), *((part,) for part in PARTS), PARTS])
@pytest.mark.parametrize(("videos", "size"), [(1, (5, 6)), (2, (4, 8)), (1, (7, 3))])
def test_predictions_and_gradients(recompute: tuple[str, ...], videos: int, size: tuple[int, int]) -> None:
    denoiser = tiny_denoiser(dtype=torch.float64)
    expected = results(denoiser, denoiser, videos, size=size)
    same(results(FrozenPass(denoiser.unet, recompute), denoiser, videos, size=size), expected)


@pytest.mark.parametrize("integration", ["add", "multiply"])
def test_every_video_may_have_rows_of_its_own(integration: str) -> None:
    """One prepared patch for a batch, the videos' rows one after another."""
    denoiser, size = tiny_denoiser(dtype=torch.float64), (4, 6)
    patches = [
        MotionPatch(random_embedding(denoiser.backbone, "all", 3, size, dtype=torch.float64, seed=seed)).prepare(
            3, size, "cpu", torch.float64
        )
        for seed in (1, 2)
    ]
    value = {key: torch.cat([patch.value[key] for patch in patches]) for key in patches[0].value}
    both = PreparedPatch({}, value, integration)
    single = [PreparedPatch({}, patch.value, integration) for patch in patches]
    latents, steps = randn(2, 4, 3, *size, dtype=torch.float64), torch.tensor([700, 20])
    words = text(2, dtype=torch.float64)
    run = FrozenPass(denoiser.unet)
    found = run(latents, steps, words, [both])
    for i in range(2):
        alone = denoiser(latents[i : i + 1], steps[i : i + 1], words[i : i + 1], [single[i]])
        torch.testing.assert_close(found[i : i + 1], alone, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found, denoiser(latents, steps, words, [both]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "changes",
    [
        {
            "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
            "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
        },
        {"layers_per_block": 2, "block_out_channels": (8, 16, 16)}
        | {f"{way}_block_types": (f"CrossAttn{way.title()}Block3D",) * 3 for way in ("down", "up")},
        {"downsample_padding": 0},
        {"mid_block_scale_factor": 1.5},
        {"in_channels": 4, "attention_head_dim": 8},
    ],
)  # fmt: skip
def test_every_form_of_the_model(changes: dict) -> None:
    denoiser = UNet3DDenoiser(tiny_unet(**changes).double(), tiny_denoiser().process)
    size = (4, 8) if "downsample_padding" in changes else (5, 6)
    same(results(FrozenPass(denoiser.unet), denoiser, size=size), results(denoiser, denoiser, size=size))
