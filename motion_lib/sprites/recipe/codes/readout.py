"""Fitting what reads the camera's steps off the codes, once these are learned and stay as they are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ....codes.design import GROUPS
from ....codes.steps import CameraSteps

STEPS, BATCH, RATE, DECAY = 4000, 64, 1e-3, 0.05
NOISE = 0.02  # added to codes, whose variance is 1


def fit_steps(reader: CameraSteps, codes: Tensor, camera: Tensor, steps: int = STEPS, seed: int = 0) -> float:
    """Fit to codes `[n, f, k, width]` of clips that show where their camera looks, `[n, f, 4]`. Returns the mean loss
    over the last tenth, of errors in units of the steps' spread."""
    generator = torch.Generator(codes.device).manual_seed(seed)
    tokens = codes[:, :, GROUPS.index("camera")].float()
    wanted = F.pad(camera.float().diff(dim=1), (0, 0, 1, 0))
    spread = wanted[:, 1:].flatten(0, 1).std(dim=0)
    optimizer = torch.optim.AdamW(reader.requires_grad_(True).parameters(), lr=RATE, weight_decay=DECAY)
    last: list[Tensor] = []
    with torch.enable_grad():
        for step in range(steps):
            pick = torch.randint(len(tokens), (min(BATCH, len(tokens)),), generator=generator, device=codes.device)
            noise = torch.randn(tokens[pick].shape, generator=generator, device=codes.device)
            found = reader(tokens[pick] + NOISE * noise)
            loss = F.smooth_l1_loss(found / spread, wanted[pick] / spread)
            optimizer.zero_grad()
            loss.backward()
            for group in optimizer.param_groups:
                group["lr"] = RATE * (1 - step / steps)
            optimizer.step()
            last = [*last, loss.detach()][-max(1, steps // 10) :]
    reader.requires_grad_(False)
    return float(torch.stack(last).mean())
