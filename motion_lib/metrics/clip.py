"""What a CLIP model says of a clip: does it show its prompt, and do its frames stay alike? For users who have one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import MotionError
from .frames import check_clip_tensor, planes


@dataclass(frozen=True)
class ClipModel:
    """A CLIP (Radford et al., arXiv 2103.00020) with its tokenizer and image normalisation."""

    model: Any
    tokenizer: Any
    size: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    @torch.no_grad()
    def text_features(self, prompt: str) -> Tensor:
        """`[width]`, of length 1."""
        limit = self.model.config.text_config.max_position_embeddings
        tokens = self.tokenizer([prompt], padding=True, truncation=True, max_length=limit, return_tensors="pt")
        return _unit(self.model.get_text_features(**tokens.to(self.model.device)))[0]

    @torch.no_grad()
    def image_features(self, frames: Tensor) -> Tensor:
        """`[f, width]`, of length 1, of a clip uint8 `[f, h, w, 3]`, whose middle square is seen.

        Raises MotionError for anything but a clip.
        """
        check_clip_tensor(frames)
        pixels = planes(frames).to(self.model.device)
        side = min(pixels.shape[2:])
        top, left = (pixels.shape[2] - side) // 2, (pixels.shape[3] - side) // 2
        square = pixels[:, :, top : top + side, left : left + side]
        seen = torch.nn.functional.interpolate(square, (self.size, self.size), mode="bicubic", antialias=True)
        mean, deviation = (seen.new_tensor(values)[:, None, None] for values in (self.mean, self.deviation))
        return _unit(self.model.get_image_features(pixel_values=(seen.clamp(0, 1) - mean) / deviation))


def load_clip(folder: str | Path, device: str | torch.device = "cpu") -> ClipModel:
    """The CLIP in a folder as transformers saves it. Never uses the network.

    Raises MotionError when there is none.
    """
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

    try:
        model: Any = CLIPModel.from_pretrained(folder, local_files_only=True)
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        images: Any = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise MotionError(f"{folder} holds no CLIP model as transformers saves it: {reason}") from error
    size = model.config.vision_config.image_size
    return ClipModel(
        model.requires_grad_(False).eval().to(device),
        tokenizer,
        size,
        tuple(images.image_mean),
        tuple(images.image_std),
    )


def text_similarity(features: Tensor, text: Tensor) -> float:
    """Mean cosine of the frames' features `[f, width]` and the prompt's `[width]`."""
    return float((features @ text).mean())


def neighbour_similarity(features: Tensor) -> float:
    """Mean cosine of neighbouring frames' features `[f, width]`: the usual temporal consistency, NaN for one frame."""
    return float((features[1:] * features[:-1]).sum(dim=1).mean())


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2·(Σ_a·Σ_b)^½) of two sets of features `[n, width]` (FID, Heusel et al., arXiv
    1706.08500, eq. 6). On CLIP features it is no number to compare with the usual FID, which takes Inception's; and on
    fewer clips than features have dimensions it says little.

    Raises MotionError for fewer than two features in a set.
    """
    if min(len(a), len(b)) < 2:
        raise MotionError(f"There are {len(a)} and {len(b)} features, but a Fréchet distance needs 2 of each.")
    a, b = a.double(), b.double()
    between = (a.mean(dim=0) - b.mean(dim=0)).square().sum()
    covariances = [x.T.cov() for x in (a, b)]
    # The trace of the root is the sum of the singular values of Σ_a^½·Σ_b^½, whatever is singular.
    roots = [_root(covariance) for covariance in covariances]
    overlap = torch.linalg.svdvals(roots[0] @ roots[1]).sum()
    return float((between + covariances[0].trace() + covariances[1].trace() - 2 * overlap).clamp(min=0))


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _unit(output: Any) -> Tensor:
    # Newer transformers wrap the projected features.
    features = output if isinstance(output, Tensor) else output.pooler_output
    return features / features.norm(dim=-1, keepdim=True)
