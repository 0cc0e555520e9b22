"""What a camera does from frame to frame.

Points `[2]` are in half frames, x right and y down, (0, 0) the centre of the picture, both axes divided by half the
shorter side. A step moves the background's points by the similarity x' = zoom · R(roll) · x + shift.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CameraMotion:
    """shift `[f-1, 2]` in half frames, log_zoom `[f-1]`, roll `[f-1]` in radians clockwise on the screen; NaN for steps
    in which no background could be followed, as in front of a plain wall."""

    shift: Tensor
    log_zoom: Tensor
    roll: Tensor

    @property
    def fitted(self) -> Tensor:
        """bool `[f-1]`."""
        return ~self.log_zoom.isnan()

    def displacements(self) -> Tensor:
        """How the step moves nine points of the picture, `[f-1, 9, 2]`: one unit for pan, zoom and roll."""
        axis = torch.tensor([-2 / 3, 0, 2 / 3])
        grid = torch.cartesian_prod(axis, axis)
        c, s = (self.log_zoom.exp() * part for part in (self.roll.cos(), self.roll.sin()))
        x, y = grid[:, 0], grid[:, 1]
        turned = torch.stack([c[:, None] * x - s[:, None] * y, s[:, None] * x + c[:, None] * y], dim=-1)
        return turned + self.shift[:, None] - grid
