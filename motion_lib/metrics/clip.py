"""What a CLIP model says of a clip: does it show its prompt, and do its frames stay alike? For users who have one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..backbones.folder import Part, plain_fields, read_config, weight_files
from ..backbones.loading import META, clip_model, explained, quietly
from ..backbones.tokens import check_words, load_tokenizer
from ..errors import MotionError, shown
from ..video.frames import check_clip_tensor, planes

Colour = tuple[float, float, float]
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class ClipModel:
    """A CLIP (Radford et al., arXiv 2103.00020) with its tokenizer and image normalisation."""

    model: Any
    tokenizer: Any
    size: int
    mean: Colour
    deviation: Colour

    @torch.no_grad()
    def text_features(self, prompt: str) -> Tensor:
        """`[width]`, of length 1."""
        tokens = self.tokens(prompt).to(self.model.device)  # some tokenizers give more than the model takes
        found = self.model.get_text_features(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)
        return _unit(found)[0]

    def tokens(self, prompt: str) -> Any:
        """What transformers' tokenizer gives for one prompt, cut to what the model can read."""
        limit = self.model.config.text_config.max_position_embeddings
        return self.tokenizer([prompt], padding=True, truncation=True, max_length=limit, return_tensors="pt")

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

    Raises MotionError when there is none, or when its parts do not fit together.
    """
    folder = Path(folder)
    stems = ("model", "pytorch_model")
    if not weight_files(folder, stems) or not (folder / "config.json").is_file():
        raise MotionError(
            f"{shown(str(folder))} holds no CLIP model as transformers saves it, and nothing is downloaded: "
            f"give a folder with its config.json, its weights and its tokenizer."
        )
    with quietly(), explained(folder):
        part = Part.open(folder, stems)
        tokenizer, normalisation = load_tokenizer(folder), _normalisation(folder / "preprocessor_config.json")

        def ready(where: torch.device) -> ClipModel:
            model = clip_model(part, where)
            check_words(tokenizer, model.config.text_config.vocab_size)
            size = model.config.vision_config.image_size
            if not isinstance(size, int):
                raise ValueError(f"image_size is {size}, but pictures have to be square")
            return ClipModel(model, tokenizer, size, *normalisation)

        tried = ready(META)  # words and a picture without data show whether it runs
        tried.model.get_text_features(tried.tokens("a").input_ids.to(META))
        tried.image_features(torch.empty(1, 64, 64, 3, dtype=torch.uint8, device=META))
        return ready(torch.device(device))


def _normalisation(path: Path) -> tuple[Colour, Colour]:
    """Mean and deviation of the colours that pictures are brought to; CLIP's own where the file says nothing."""
    config = plain_fields(read_config(path), ("image_mean", "image_std"), path) if path.is_file() else {}
    mean, deviation = config.get("image_mean", MEAN), config.get("image_std", DEVIATION)
    for name, values in (("image_mean", mean), ("image_std", deviation)):
        usual = isinstance(values, list | tuple) and len(values) == 3
        if not usual or not all(type(value) in (int, float) and 0 <= value <= 1 for value in values):
            raise MotionError(f"{path}: {name} should be three numbers from 0 to 1.")
    if not all(deviation):
        raise MotionError(f"{path}: image_std cannot be 0, because pictures are divided by it.")
    return tuple(mean), tuple(deviation)


def text_similarity(features: Tensor, text: Tensor) -> float:
    """Mean cosine of the frames' features `[f, width]` and the prompt's `[width]`."""
    return float((features @ text).mean())


def neighbour_similarity(features: Tensor) -> float:
    """Mean cosine of neighbouring frames' features `[f, width]`: the usual temporal consistency, NaN for one frame."""
    return float((features[1:] * features[:-1]).sum(dim=1).mean())


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2·(Σ_a·Σ_b)^½) of two sets of features `[n, width]` (FID, Heusel et al., arXiv
    1706.08500, eq. 6). On CLIP features, it cannot be compared with the usual FID, which takes Inception's; and on
    fewer clips than features have dimensions, it says little.

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
