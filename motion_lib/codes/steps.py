"""How the camera moves from frame to frame, read off the codes of several frames.

A linear head says where the camera looks, frame by frame, and each frame's own error stands between it and the next.
Steps are what videos are held to, so they are read off the tokens around each frame, and added up.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AROUND = 2  # frames on each side


class CameraSteps(nn.Module):
    """Untrained, it reads a camera that stands still."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.first = nn.Linear((2 * AROUND + 1) * width, hidden)
        self.last = nn.Linear(hidden, 4)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Steps `[b, f, 4]` of tokens `[b, f, width]`: by how much the camera looks elsewhere, x and y, and ln zoom and
        roll grow, since the frame before; 0 for the first."""
        ends = tokens[:, :1].expand(-1, AROUND, -1), tokens[:, -1:].expand(-1, AROUND, -1)
        windows = torch.cat([ends[0], tokens, ends[1]], dim=1).unfold(1, 2 * AROUND + 1, 1)
        steps = self.last(F.gelu(self.first(windows.flatten(2).float())))
        return F.pad(steps[:, 1:], (0, 0, 1, 0))
