"""Contact sheets: clips as rows of frames, to look at what is learned."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor


def write_sheet(path: Path, clips: Tensor, across: int = 6, columns: int = 2) -> None:
    """Save clips `[n, 3, f, h, w]` in [-1, 1]: `across` frames of each in a row, rows in `columns`."""
    picked = torch.linspace(0, clips.shape[2] - 1, across).round().long()
    rows = [torch.cat(list(clip[:, picked].unbind(1)), dim=2) for clip in clips.float().cpu()]
    height = -(-len(rows) // columns)
    rows += [torch.ones_like(rows[0])] * (height * columns - len(rows))
    sides = [torch.cat(rows[i * height : (i + 1) * height], dim=1) for i in range(columns)]
    sheet = ((torch.cat(sides, dim=2).clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet.numpy()).save(path)
