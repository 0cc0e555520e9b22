"""Measure how well one video took over another's motion.

Compares GENERATED with REFERENCE: motion fidelity of point tracks, camera motion, flow-warp error; for clips of the
bundled model also the object's path and, with --prompt, whether the video shows what was asked for. With --without
(the same prompt and seed, generated without the motion) it measures how much of the reference's look leaked.
Needs OpenCV: pip install "motion-inversion[metrics]".

example:
  motion-inversion evaluate reference.mp4 with_motion.mp4 --prompt "a red star on a grey plain background" """

from __future__ import annotations

import argparse
from typing import Any

import torch

from ..errors import MotionError
from .common import add_json, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REFERENCE", help="the video whose motion was learned")
    parser.add_argument("generated", metavar="GENERATED", help="the video that should move like it")
    parser.add_argument("--without", metavar="VIDEO", help="the same prompt and seed without the motion")
    parser.add_argument("--prompt", help="what the generated video should show (bundled model's captions)")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    from ..video import read_clip

    names = [name for name in (options.reference, options.generated, options.without) if name]
    clips = [read_clip(name, min_frames=2).frames for name in names]
    scores = compare(*clips, prompt=options.prompt)
    show(scores, options.json, (f"{key}: {_text(value)}" for key, value in scores.items()))


def compare(
    reference: torch.Tensor, generated: torch.Tensor, without: torch.Tensor | None = None, prompt: str | None = None
) -> dict[str, Any]:
    """Every score that these clips, uint8 `[f, h, w, 3]`, allow; NaN where there is nothing to compare."""
    from ..metrics.camera import camera_error, camera_motion
    from ..metrics.captions import caption_accuracy
    from ..metrics.consistency import warp_error
    from ..metrics.fidelity import motion_fidelity
    from ..metrics.leak import appearance_leak

    if len(reference) != len(generated):
        raise MotionError(
            f"The reference has {len(reference)} frames and the generated video {len(generated)}: "
            f"compare equal numbers."
        )
    fidelity = motion_fidelity(reference, generated)
    camera = camera_error(camera_motion(reference), camera_motion(generated))
    scores: dict[str, Any] = {
        "motion_fidelity": fidelity.score,
        "moving_tracks": [fidelity.moving_reference, fidelity.moving_output],
        "path_correlation": object_path_correlation(reference, generated),
        "camera_correlation": camera.correlation,
        "camera_error": camera.error,
        "warp_error": warp_error(generated).error,
    }
    if prompt:
        scores["caption"] = caption_accuracy(generated, prompt).middle_frame
    if without is not None:
        scores["appearance_leak"] = appearance_leak(reference, generated, without).score
    return scores


def object_path_correlation(reference: torch.Tensor, generated: torch.Tensor) -> float:
    """Of the paths of the one vivid object in each clip, NaN where there is none."""
    from ..metrics.captions import object_path
    from ..metrics.paths import path_correlation

    return path_correlation(object_path(reference).points, object_path(generated).points)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
