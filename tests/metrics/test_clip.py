"""CLIP scores on a tiny random CLIP, and the Fréchet distance against its closed form."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import CLIPModel

from motion_lib.errors import MotionError
from motion_lib.metrics.clip import ClipModel, frechet_distance, load_clip, neighbour_similarity, text_similarity
from tests.backbones.folders import build_clip

from .clips import noise


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return build_clip(tmp_path_factory.mktemp("models") / "clip")


@pytest.fixture(scope="module")
def clip(folder: Path) -> ClipModel:
    return load_clip(folder)


def test_features_are_those_of_transformers(clip: ClipModel, folder: Path) -> None:
    frames = noise(3, frames=2, size=32)
    own = CLIPModel.from_pretrained(folder)
    pixels = frames.permute(0, 3, 1, 2).float() / 255
    mean, deviation = (torch.tensor(v)[:, None, None] for v in (clip.mean, clip.deviation))
    with torch.no_grad():
        vision = own.vision_model(pixel_values=(pixels - mean) / deviation).pooler_output
        expected = own.visual_projection(vision)
    torch.testing.assert_close(clip.image_features(frames), expected / expected.norm(dim=1, keepdim=True))
    text = clip.text_features("a red star")
    assert text.shape == (8,) and float(text.norm()) == pytest.approx(1)
    assert not torch.equal(text, clip.text_features("a blue star"))


def test_a_wide_picture_is_seen_in_its_middle(clip: ClipModel) -> None:
    frames = noise(4, frames=2, size=32)
    wide = torch.zeros(2, 32, 48, 3, dtype=torch.uint8)
    wide[:, :, 8:40] = frames
    torch.testing.assert_close(clip.image_features(wide), clip.image_features(frames))


def test_similarities_are_means_of_cosines() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    assert text_similarity(features, torch.tensor([1.0, 0.0])) == pytest.approx(1.6 / 3)
    assert neighbour_similarity(features) == pytest.approx(0.4)
    assert math.isnan(neighbour_similarity(features[:1]))


def test_frechet_distance_of_gaussians() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(500, 3, generator=generator, dtype=torch.float64)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + torch.tensor([3.0, 4.0, 0.0])) == pytest.approx(25)
    # Commuting covariances: Σ (√λ_a − √λ_b)².
    scale = torch.tensor([2.0, 0.5, 1.0])
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(a.T.cov()), (a - a.mean(0)).T, upper=False).T
    assert frechet_distance(white, white * scale) == pytest.approx(1 + 0.25 + 0)
    few = torch.randn(2, 5, generator=generator)  # singular covariances
    assert math.isfinite(frechet_distance(few, few + 1)) and frechet_distance(few, few + 1) == pytest.approx(
        5, rel=1e-4
    )


def test_what_cannot_be_used_is_explained(tmp_path: Path, clip: ClipModel) -> None:
    with pytest.raises(MotionError, match="holds no CLIP model"):
        load_clip(tmp_path)
    with pytest.raises(MotionError, match="needs 2 of each"):
        frechet_distance(torch.zeros(1, 2), torch.zeros(3, 2))
    with pytest.raises(MotionError, match="need uint8"):
        clip.image_features(torch.zeros(2, 8, 8, 3))
