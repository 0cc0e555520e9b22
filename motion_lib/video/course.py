"""The course of the thing that moves in a clip: where it is, how large, and how far it has turned, frame by frame."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MotionError
from .cut_out import cut_out
from .look import in_pieces, what_moves
from .place import is_one_thing

BROKEN = 0.1  # of the frames: in so many, what differs from the background may be no thing
SEEN = 0.1  # of the usual area: where less of the thing is seen, its course is taken from the frames around
# Turning: patches of so many points, so many radii to each side, are compared with those some frames before.
PATCH, REACH, COMPARISONS = 48, 1.8, 16
WIDEST_TURN, FINENESS = math.radians(44), math.radians(2)
# Of the difference that is left without turning, .04 to .26 was left of things that turn, and .59 and more of others.
CLEARER = 0.4


class Course(NamedTuple):
    """In halves of the picture's longer side, from its middle, x to the right and y down.

    centre `[f, 2]`; radius `[f]`, of a disc of the same area; angle `[f]`, radians clockwise since the first frame, 0
    throughout where no turning can be seen.
    """

    centre: Tensor
    radius: Tensor
    angle: Tensor

    @classmethod
    def of(cls, frames: Tensor, mask: Tensor | None = None) -> Course:
        """Of what moves in a clip uint8 `[f, h, w, 3]`; mask: where that is, `[f, h, w]` in 0..1, by default what
        `moving_mask` finds. Raises MotionError for a mask that does not suit, for a thing that cannot be told from the
        background, and what `moving_mask` refuses."""
        share = what_moves(frames, mask)
        if len(share) < len(frames):
            raise MotionError(
                f"The mask of what moves is one picture, but that is elsewhere in each of the clip's {len(frames)} "
                f"frames: give a mask for every frame."
            )
        if mask is None and (in_pieces(frames) or _broken(share)):
            share = cut_out(frames, share)
            if _broken(share):
                raise MotionError(
                    "What moves in the clip does not look like one thing, as where two things move: give a mask of "
                    "what moves."
                )
        area = share.sum(dim=(1, 2))
        seen = (area > SEEN * area.median()) & (area > 1)  # a pixel
        if not bool(seen.any()):
            raise MotionError("The mask is black, so it does not say what moves: paint that white.")
        places = _places(share.shape[1], share.shape[2])
        middle = [(share * axis).sum(dim=(1, 2)) / area.clamp(min=1) for axis in places.unbind(-1)]
        centre = _filled(torch.stack(middle, dim=-1), seen)
        radius = (area / math.pi).sqrt() * 2 / max(share.shape[1:])
        radius = _smooth(_filled(radius[:, None], seen))[:, 0]
        return cls(centre, radius, _turning(frames, share, centre, radius))


def _broken(share: Tensor) -> bool:
    return sum(bool(frame.sum() > 1) and not is_one_thing(frame) for frame in share) > BROKEN * len(share)


def _places(height: int, width: int) -> Tensor:
    """The middles of all pixels, `[h, w, 2]`, in the units of a Course."""
    x, y = ((torch.arange(n) + 0.5 - n / 2) * 2 / max(height, width) for n in (width, height))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def _filled(values: Tensor, known: Tensor) -> Tensor:
    """`[f, n]` where known `[f]`; elsewhere on the line between the known ones beside it, or as the nearest."""
    times, own = torch.arange(len(values)), known.nonzero()[:, 0]
    after = torch.searchsorted(own, times).clamp(max=len(own) - 1)
    before = torch.where(own[after] > times, (after - 1).clamp(min=0), after)
    apart = (own[after] - own[before]).clamp(min=1)
    share = ((times - own[before]) / apart).clamp(0, 1)[:, None]
    return values[own[before]] * (1 - share) + values[own[after]] * share


def _smooth(values: Tensor) -> Tensor:
    """`[f, n]`, with a quarter of each neighbour."""
    padded = torch.cat([values[:1], values, values[-1:]])
    return 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]


def _turning(frames: Tensor, share: Tensor, centre: Tensor, radius: Tensor) -> Tensor:
    """The angle `[f]` of a Course: the thing, cut out about its centre at one size, is compared with itself some frames
    before under every angle."""
    count = len(frames)
    times = torch.linspace(0, count - 1, min(count, COMPARISONS + 1)).round().long()
    inside = share[times][:, None]
    seen = torch.cat([inside, inside * (frames[times].movedim(-1, 1).float() / 255 - 0.5)], dim=1)
    cut = _patches(seen, centre[times], radius[times], torch.zeros(len(times)))
    turns = torch.arange(-WIDEST_TURN, WIDEST_TURN + FINENESS / 2, FINENESS)
    later = seen[1:], centre[times[1:]], radius[times[1:]]
    turned = [_patches(*later, turn.expand(len(times) - 1)) for turn in turns]
    left = torch.stack([(own - cut[:-1]).square().mean(dim=(1, 2, 3)) for own in turned])  # [turns, comparisons]
    best, unturned = left.argmin(dim=0), left[len(turns) // 2]
    if float(left.amin(dim=0).sum()) > CLEARER * float(unturned.sum()):
        return torch.zeros(count)
    angle = torch.cat([torch.zeros(1), turns[best]]).cumsum(0)
    known, between = torch.zeros(count, dtype=torch.bool), torch.zeros(count, 1)
    known[times], between[times] = True, angle[:, None]
    return _smooth(_filled(between, known))[:, 0]


def _patches(pictures: Tensor, centre: Tensor, radius: Tensor, turn: Tensor) -> Tensor:
    """`[n, c, PATCH, PATCH]` of `[n, c, h, w]`, cut out about `centre`, turned with the thing by `turn` `[n]`."""
    height, width = pictures.shape[-2:]
    axis = torch.linspace(-REACH, REACH, PATCH)
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    c, s = turn.cos()[:, None, None], turn.sin()[:, None, None]
    turned = torch.stack([c * x - s * y, s * x + c * y], dim=-1) * radius[:, None, None, None]
    places = turned + centre[:, None, None]
    scale = torch.tensor([max(height, width) / width, max(height, width) / height])
    return F.grid_sample(pictures, places * scale, align_corners=False)
