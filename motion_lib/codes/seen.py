"""How far a clip's codes are from those of training: what the encoder has not seen, it may read wrongly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

GROUND = 0.01  # variance that is added to all features: about that of the noise that codes are learned with
USUAL = 0.99  # share of unseen clips of training's own kind that lie within `most`


def features(codes: Tensor) -> Tensor:
    """Mean and spread over the frames of every number of a code `[b, f, k, width]`: `[b, 2·k·width]`."""
    flat = codes.float().flatten(2)
    return torch.cat([flat.mean(dim=1), flat.std(dim=1)], dim=1)


@dataclass
class Seen:
    """mean `[m]` and whitening `[m, m]` of training's features; most: the distance within which 99 % of unseen clips of
    the same kind lie. Distances are Mahalanobis's, per number."""

    mean: Tensor
    whitening: Tensor
    most: float

    @classmethod
    def of(cls, codes: Tensor, unseen: Tensor) -> Seen:
        """From codes of clips that training drew, and of others of the same kind."""
        known = features(codes).double()
        mean = known.mean(dim=0)
        covariance = (known - mean).T @ (known - mean) / len(known)
        ground = torch.eye(len(mean), dtype=torch.float64, device=mean.device)
        values, directions = torch.linalg.eigh(covariance + GROUND * ground)
        seen = cls(mean.float(), (directions * values.rsqrt()).float(), 0.0)
        seen.most = float(seen.distance(unseen).quantile(USUAL))
        return seen

    def distance(self, codes: Tensor) -> Tensor:
        """`[b]`, of codes `[b, f, k, width]`; about 1 for what training has seen."""
        return ((features(codes) - self.mean) @ self.whitening).square().mean(dim=1).sqrt()

    def to(self, device: torch.device | str) -> Seen:
        return Seen(self.mean.to(device), self.whitening.to(device), self.most)
