"""Where a camera looks in every frame of a clip, as far as a similarity can say it: pan and tilt, zoom and roll.

Points are in half frames, x right and y down, (0, 0) the centre of the picture, both axes divided by half the shorter
side. The world is what the first frame shows; frame i sees its point w at zoom_i · R(roll_i) · w + shift_i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MotionError

LEAST_FITTED = 1 / 3  # of the steps of a clip, in which the camera must have been seen
AMOUNT_HELP = "How far the camera goes: 1 as in the clip, 2 twice as far, 0 stands still, -1 the other way."  # `scaled`


@dataclass(frozen=True)
class CameraPath:
    """shift `[f, 2]` in half frames, log_zoom `[f]`, roll `[f]` in radians clockwise on the screen; the first frame has
    zeros."""

    shift: Tensor
    log_zoom: Tensor
    roll: Tensor

    @classmethod
    def of_steps(cls, shift: Tensor, log_zoom: Tensor, roll: Tensor) -> CameraPath:
        """From what every step does to the background, `[f-1, 2]` and `[f-1]` twice (see CameraMotion);
        NaN, where a step could not be seen, becomes what lies between its neighbours.

        Raises MotionError if less than a third of the steps were seen.
        """
        steps = torch.cat([shift, log_zoom[:, None], roll[:, None]], dim=1).double()
        seen = ~steps.isnan().any(dim=1)
        if int(seen.sum()) < max(1.0, LEAST_FITTED * len(steps)):
            raise MotionError(
                f"The camera could be followed in {int(seen.sum())} of the clip's {len(steps)} steps from frame to "
                f"frame, which is too few: it needs a background with a texture that fills much of the picture."
            )
        at, zoom, angle = [torch.zeros(2, dtype=torch.float64)], [0.0], [0.0]
        for x, y, z, r in _filled(steps, seen).tolist():
            at.append(_turned(at[-1], torch.tensor(r)) * torch.tensor(z).exp() + torch.tensor([x, y]))
            zoom.append(zoom[-1] + z)
            angle.append(angle[-1] + r)
        return cls(torch.stack(at).float(), torch.tensor(zoom), torch.tensor(angle))

    def rows(self) -> list[list[float]]:
        """Four numbers per frame, as `generate --json` prints them: shift x and y, ln zoom, roll."""
        values = torch.cat([self.shift, self.log_zoom[:, None], self.roll[:, None]], dim=1)
        return [[round(value, 5) for value in row] for row in values.tolist()]

    def __len__(self) -> int:
        return len(self.log_zoom)

    def to(self, device: torch.device | str) -> CameraPath:
        return CameraPath(self.shift.to(device), self.log_zoom.to(device), self.roll.to(device))

    def resample(self, frames: int) -> CameraPath:
        """The same motion over another number of frames."""
        if frames == len(self):
            return self
        values = torch.cat([self.shift, self.log_zoom[:, None], self.roll[:, None]], dim=1).T[None]
        found = F.interpolate(values, size=frames, mode="linear", align_corners=True)[0].T
        return CameraPath(found[:, :2], found[:, 2], found[:, 3])

    def scaled(self, strength: float) -> CameraPath:
        """`strength` times as far: 0 stands still, −1 goes the other way."""
        looks_at = self.to_world(torch.zeros(1, 2))[:, 0] * strength
        zoom, roll = self.log_zoom * strength, self.roll * strength
        return CameraPath(-_turned(looks_at, roll) * zoom.exp()[:, None], zoom, roll)

    def to_world(self, points: Tensor, frames: slice = slice(None)) -> Tensor:
        """Where in the world the points `[n, 2]` of these frames are, `[f, n, 2]`."""
        shift, zoom, roll = (part[frames].to(points) for part in (self.shift, self.log_zoom, self.roll))
        return _turned(points - shift[:, None], -roll[:, None]) * (-zoom).exp()[:, None, None]

    def to_frames(self, points: Tensor, frames: slice = slice(None)) -> Tensor:
        """Where these frames see the points `[n, 2]` of the world, `[f, n, 2]`."""
        shift, zoom, roll = (part[frames].to(points) for part in (self.shift, self.log_zoom, self.roll))
        return _turned(points, roll[:, None]) * zoom.exp()[:, None, None] + shift[:, None]

    def describe(self) -> str:
        """One sentence for the user."""
        x, y = (round(v, 2) + 0.0 for v in (self.shift[-1] / 2).tolist())  # + 0.0: no minus before nothing
        return (
            f"Over {len(self)} frames the background moves by {x:+.2f} of the picture's shorter side to the right and "
            f"{y:+.2f} down, grows to {float(self.log_zoom[-1].exp()):.2f} times its size and turns by "
            f"{round(float(self.roll[-1].rad2deg())):+d}° clockwise."
        )


def pixel_centres(size: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """The points `[h·w, 2]` of a picture of this height and width, in half frames."""
    height, width = size
    half = min(height, width) / 2
    y, x = ((torch.arange(side, device=device) - (side - 1) / 2) / half for side in (height, width))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)


def _turned(points: Tensor, angle: Tensor) -> Tensor:
    """Clockwise on the screen, since y points down."""
    c, s = angle.cos(), angle.sin()
    x, y = points.unbind(-1)
    return torch.stack([c * x - s * y, s * x + c * y], dim=-1)


def _filled(steps: Tensor, seen: Tensor) -> Tensor:
    """Steps that were not seen, linear between those that were, or like the nearest at the ends."""
    known = seen.nonzero()[:, 0].tolist()
    filled = steps.clone()
    for i in (~seen).nonzero()[:, 0].tolist():
        before = max((k for k in known if k < i), default=min(known))
        after = min((k for k in known if k > i), default=max(known))
        share = (i - before) / (after - before) if after > before else 0.0
        filled[i] = steps[before] + share * (steps[after] - steps[before]) if before < i else steps[after]
    return filled
