"""Motion codes: an encoder, a decoder to embeddings of one frozen model, heads that read the truth off the codes, and
a vector to compare motions and words by."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..method.embedding import MotionEmbedding
from .decoder import Decoder
from .design import GROUPS, TRUTHS, Design
from .encoders import Codebook, encoder_of
from .inputs import INPUTS
from .steps import CameraSteps
from .words import WORDS


class MotionCodes(nn.Module):
    """Codes are `[b, f, k, width]`, a token of each group in GROUPS for every frame, of mean 0 and variance 1."""

    def __init__(self, design: Design, empty: MotionEmbedding):
        super().__init__()
        self.design = design
        self.encoder = encoder_of(design)
        self.narrow = nn.Linear(design.hidden, design.width)
        self.codebook = Codebook(design.width) if design.encoder == "vq" else None
        self.decoder = Decoder(design, empty)
        self.heads = nn.ModuleDict(
            {name: _head(design.width, size) for truths in TRUTHS.values() for name, size in truths.items()}
        )
        self.steps = CameraSteps(design.width, design.hidden)
        self.describe = nn.ModuleDict({g: nn.Linear(design.frames * design.width, design.described) for g in GROUPS})
        self.words = nn.ModuleDict({g: nn.Linear(len(WORDS[g]), design.described, bias=False) for g in GROUPS})

    def encode(self, frames: Tensor, latents: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Codes of clips `[b, f, 3, h, w]` from 0 to 1, and the loss of their codebook, 0 without one."""
        features = self.encoder(INPUTS[self.design.inputs].see(frames, latents))
        codes = F.layer_norm(self.narrow(features).float(), (self.design.width,))
        return (codes, codes.new_zeros(())) if self.codebook is None else self.codebook(codes)

    def truths(self, codes: Tensor) -> dict[str, Tensor]:
        """What the heads read off codes: path `[b, f, 2]` in half image sides, scale `[b, f, 1]` as ln of the size,
        angle `[b, f, 1]` in radians since the first frame, camera `[b, f, 4]` as CameraPath's steps are added up."""
        with torch.autocast(codes.device.type, enabled=False):  # a frame's step is small beside where the object is
            return {
                name: self.heads[name](codes[:, :, place].float())
                for place, group in enumerate(GROUPS)
                for name in TRUTHS[group]
            }

    def looks(self, codes: Tensor) -> Tensor:
        """Where the camera looks, `[b, f, 4]` as `truths` has it, from its steps, which are read more exactly."""
        with torch.autocast(codes.device.type, enabled=False):
            return self.steps(codes[:, :, GROUPS.index("camera")]).cumsum(dim=1)

    def tensors(self, codes: Tensor) -> dict[str, Tensor]:
        """Those of the embeddings that codes mean, `[b, positions, f, c]` by name."""
        read = self.truths(codes)
        return self.decoder(codes, torch.cat([read["path"], read["scale"]], dim=-1))

    def embedding(self, codes: Tensor) -> MotionEmbedding:
        """That of one clip's codes `[f, k, width]`."""
        return self.decoder.empty.with_tensors({key: m[0] for key, m in self.tensors(codes[None]).items()})

    def described(self, codes: Tensor) -> dict[str, Tensor]:
        """Unit vectors `[b, described]` of every group, near for motions that are alike."""
        return {
            group: F.normalize(self.describe[group](codes[:, :, place].flatten(1)).float(), dim=-1)
            for place, group in enumerate(GROUPS)
        }

    def said(self, group: str, chosen: Tensor) -> Tensor:
        """Unit vectors of sets of words `[n, words]`, 0 or 1 each, near those of the motions they are said of."""
        return F.normalize(self.words[group](chosen).float(), dim=-1)


def _head(width: int, size: int) -> nn.Linear:
    """One that reads 0 of everything at the start: its errors are then no larger than the truth's own spread."""
    head = nn.Linear(width, size)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head
