"""Judging one video: every measure that its case allows, against the true motion where that is known.

A video in which nothing can be measured, because its object is gone or nothing moves, took over no motion: it counts as
correlation 0 and error 1 and is not left out, which would favour methods that destroy the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from ..camera.measure import beside, camera_of_tracks
from ..camera.motion import CameraMotion
from ..camera.trackers import track
from ..camera.tracks import Tracker
from ..metrics.camera import camera_error, true_camera
from ..metrics.captions import KINDS, caption_accuracy, object_path
from ..metrics.clip import ClipModel, neighbour_similarity, text_similarity
from ..metrics.consistency import warp_error
from ..metrics.fidelity import fidelity_of_tracks
from ..metrics.leak import appearance_leak, sprite_regions, whole_frame
from ..metrics.paths import deviation, path_correlation, speed_error
from ..metrics.pose import object_size, object_turn
from ..sprites import parse_caption
from .cases import Case

Scores = dict[str, float]
LEAST_STEPS = 1 / 3  # of a clip, in which the camera must have been seen


@dataclass(frozen=True)
class Column:
    """A score in the table: its heading, and which way is better (+1, -1, or 0 for neither)."""

    heading: str
    better: int
    about: str


COLUMNS: dict[str, Column] = {
    "path": Column("path", 1, "correlation of the object's path with the true one"),
    "path_error": Column("path err", -1, "distance from the true path, in units of its extent"),
    "speed_error": Column("speed err", -1, "difference of the object's speed, in units of the true mean speed"),
    "size": Column("size", 1, "correlation of the object's size with the true one, where it grows"),
    "size_error": Column("size err", -1, "difference of ln size, in units of the true growth"),
    "turn": Column("turn", 1, "correlation of the object's angle with the true one, where it turns"),
    "turn_error": Column("turn err", -1, "difference of the angle, in units of the true turning"),
    "camera": Column("camera", 1, "correlation of the camera's motion with the true one, where it moves"),
    "camera_error": Column("camera err", -1, "difference of the camera's motion, in units of the true motion"),
    "fidelity": Column("fidelity", 1, "motion fidelity of point tracks, two-sided"),
    "leak": Column("leak", -1, "shift of colours towards the reference, 0 without and 1 all the way"),
    "caption": Column("caption", 1, "share of the prompt's words that the middle frame shows"),
    **{kind: Column(kind, 1, f"share of videos that show the right {kind}") for kind in KINDS},
    "caption_all": Column("all frames", 1, "share of the prompt's words shown, over all frames"),
    "warp": Column("warp err", -1, "mean squared colour error along the optical flow, × 1000"),
    "text": Column("text", 1, "cosine of frames and prompt by CLIP"),
    "neighbours": Column("neighbours", 1, "cosine of neighbouring frames by CLIP"),
}


class Judge:
    """Scores the videos of one case; what there is to know of the reference is found once."""

    def __init__(self, case: Case, tracker: str | Tracker = "lucas_kanade", clip: ClipModel | None = None):
        self.case, self.tracker, self.clip = case, tracker, clip
        self.features: list[Tensor] = []  # of all frames judged, by CLIP
        self.tracks = track(case.frames, tracker)
        self.sprites = not case.foreign  # whether the reference's object can be found by the sprites' colours
        self.camera = camera_of_tracks(self.tracks) if case.truth is None else true_camera(case.truth, 0)

    def __call__(self, prompt: str, video: Tensor, without: Tensor) -> Scores:
        """The scores of a video uint8 `[f, h, w, 3]` made for `prompt`; `without` is the same without motion."""
        tracks = track(video, self.tracker)
        words = parse_caption(prompt)
        regions = sprite_regions if words.shape and self.sprites else whole_frame
        background = tracks if words.shape is None else beside(tracks, sprite_regions(video)["object"])
        scores = self._object(video) | self._camera(camera_of_tracks(background))
        fidelity = fidelity_of_tracks(self.tracks, tracks)
        if fidelity.moving_reference:
            scores["fidelity"] = _or(fidelity.score, 0.0)
        shifts = [s for s in appearance_leak(self.case.frames, video, without, regions).shifts.values() if s == s]
        if shifts:  # not clipped, so that means over videos have no bias
            scores["leak"] = sum(shifts) / len(shifts)
        caption = caption_accuracy(video, prompt)
        if caption.middle_frame:
            scores["caption"] = caption.score
            scores |= {kind: float(right) for kind, right in caption.middle_frame.items()}
            scores["caption_all"] = sum(caption.over_frames.values()) / len(caption.over_frames)
        if self.clip is not None:
            features = self.clip.image_features(video)
            self.features.append(features.cpu())
            scores["text"] = text_similarity(features, self.clip.text_features(prompt))
            scores["neighbours"] = neighbour_similarity(features)
        scores["warp"] = 1000 * warp_error(video).error
        return {name: value for name, value in scores.items() if math.isfinite(value)}

    def _object(self, video: Tensor) -> Scores:
        truth, scores = self.case.truth, {}
        if truth is None:
            return scores
        if _varies(truth.position[0]):
            path = object_path(video).points
            scores |= _compared("path", path, truth.position[0])
            scores["speed_error"] = _or(speed_error(path, truth.position[0]), 1.0)
        if _varies(truth.radius[0]):
            scores |= _compared("size", object_size(video)[:, None], truth.radius[0].log()[:, None])
        if _varies(truth.angle[0]):
            scores |= _compared("turn", object_turn(video)[:, None], truth.angle[0][:, None])
        return scores

    def _camera(self, camera: CameraMotion) -> Scores:
        own = self.camera.displacements()[self.camera.fitted]
        motion = float(own.square().sum(dim=-1).mean().sqrt()) if len(own) else 0.0
        if motion < 0.01:  # half frames a step: the camera stands, and there is nothing to take over
            return {}
        found = camera_error(self.camera, camera)
        seen = found.steps >= LEAST_STEPS * len(own)
        return {
            "camera": _or(found.correlation, 0.0) if seen else 0.0,
            "camera_error": _or(found.error / motion, 1.0) if seen else 1.0,
        }


def _compared(name: str, values: Tensor, truth: Tensor) -> Scores:
    return {
        name: _or(path_correlation(values, truth), 0.0),
        f"{name}_error": _or(deviation(values, truth), 1.0),
    }


def _varies(values: Tensor) -> bool:
    return bool((values - values[:1]).abs().max() > 1e-6)


def _or(value: float, otherwise: float) -> float:
    return value if math.isfinite(value) else otherwise
