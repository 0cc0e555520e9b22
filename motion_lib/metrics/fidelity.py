"""Motion fidelity: do the points of two clips move alike, whatever they look like?

Yatim et al., "Space-Time Diffusion Features for Zero-Shot Text-Driven Motion Transfer" (DMT), arXiv 2311.17009, sec. 5:

    corr(τ, τ̃) = mean over frames of cos(displacement of τ, displacement of τ̃)
    score = ½ · [mean over τ̃ of max over τ of corr + mean over τ of max over τ̃ of corr]

The maximum over tracks favours clips with many different motions, and trackers differ: compare only scores that come
from one tracker and one set of clips. Measured with lucas_kanade on 48 random sprite clips (16 frames, 128 x 128):

    the clip itself           1.000
    another colour of object   .999 on average, lowest .993
    another shape              .991 on average, lowest .893, nine in ten above .98
    played backwards           .05 on average, standard deviation .48
    unrelated clips            .22 (.34); .14 (.37) where no camera moves, .33 (.30) where both do

So chance is not 0, and a single pair says little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..camera.trackers import track
from ..camera.tracks import Tracker, Tracks
from ..errors import MotionError
from ..video.frames import check_pair

STILL_TRACK = 0.03  # of the shorter side: a track that stays this close to its own mean does not move
STILL_STEP = 0.002  # of the shorter side, per frame
LEAST_SHARED = 0.5  # of the steps, for two tracks to be compared


@dataclass(frozen=True)
class MotionFidelity:
    """score: in [-1, 1], 1 for the same motion; NaN where nothing moves in one of the clips, or no two tracks share
    enough frames: such a pair must be counted, not averaged.

    moving_*: tracks that were compared or could have been; still_*: tracks ignored because they do not move;
    unmatched: moving tracks of either clip left out of the means, for want of a track with half the frames in common.
    """

    score: float
    moving_reference: int
    moving_output: int
    still_reference: int
    still_output: int
    unmatched: int


def motion_fidelity(reference: Tensor, output: Tensor, tracker: str | Tracker = "lucas_kanade") -> MotionFidelity:
    """Compare two clips uint8 `[f, h, w, 3]` of equal length; sizes may differ.

    Raises MotionError for clips of unequal length or below two frames, or an unknown tracker.
    """
    check_pair(reference, output, least=2)
    return fidelity_of_tracks(track(reference, tracker), track(output, tracker))


def fidelity_of_tracks(reference: Tracks, output: Tracks) -> MotionFidelity:
    """The same from tracks, so that those of a reference need be found only once. Raises MotionError for tracks of
    unequal length."""
    if reference.points.shape[1] != output.points.shape[1]:
        raise MotionError(
            f"The reference has tracks over {reference.points.shape[1]} frames and the output over "
            f"{output.points.shape[1]}: compare clips of equal length."
        )
    moving, moving_output = reference[_moves(reference)], output[_moves(output)]
    score, unmatched = math.nan, len(moving) + len(moving_output)
    if len(moving) and len(moving_output):
        correlation = _correlations(moving, moving_output)
        best = [correlation.amax(dim=0), correlation.amax(dim=1)]
        matched = [values[values > -math.inf] for values in best]
        unmatched -= sum(map(len, matched))
        if all(map(len, matched)):
            score = float(sum(values.mean() for values in matched) / 2)
    return MotionFidelity(
        score,
        len(moving),
        len(moving_output),
        len(reference) - len(moving),
        len(output) - len(moving_output),
        unmatched,
    )


def _moves(tracks: Tracks) -> Tensor:
    """Which tracks ever leave the neighbourhood of their own mean position."""
    seen = tracks.visible[..., None].float()
    centre = (tracks.points * seen).sum(dim=1, keepdim=True) / seen.sum(dim=1, keepdim=True).clamp(min=1)
    reach = ((tracks.points - centre) * seen).norm(dim=-1).amax(dim=1) if len(tracks) else torch.zeros(0)
    return reach > STILL_TRACK * min(tracks.size)


def _correlations(a: Tracks, b: Tracks) -> Tensor:
    """corr of every track of `a` with every track of `b`, `[n, m]`; -inf where too few steps can be compared.

    A step counts where both tracks are visible at its two ends and at least one of them moves; where only one does,
    the directions have nothing in common and the cosine is 0.
    """
    (va, seen_a), (vb, seen_b) = _directions(a), _directions(b)
    moves = (va.norm(dim=-1) > 0)[:, None] | (vb.norm(dim=-1) > 0)[None]
    shared = seen_a[:, None] & seen_b[None]
    counted = (shared & moves).float()
    cosines = torch.einsum("nkd,mkd->nmk", va, vb)
    count = counted.sum(dim=-1)
    correlation = (cosines * counted).sum(dim=-1) / count.clamp(min=1)
    enough = (shared.sum(dim=-1) >= LEAST_SHARED * shared.shape[-1]) & (count > 0)
    return torch.where(enough, correlation, torch.full_like(correlation, -math.inf))


def _directions(tracks: Tracks) -> tuple[Tensor, Tensor]:
    """Unit steps `[n, f-1, 2]`, zero where the point stands still, and whether each step was seen."""
    steps = tracks.points.diff(dim=1)
    length = steps.norm(dim=-1, keepdim=True)
    units = torch.where(length > STILL_STEP * min(tracks.size), steps / length.clamp(min=1e-9), torch.zeros(()))
    return units, tracks.visible[:, 1:] & tracks.visible[:, :-1]
