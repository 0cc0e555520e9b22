"""Measure how well one video took over another's motion.

This compares GENERATED with REFERENCE: motion fidelity of point tracks, camera motion and flow-warp error. For clips of
the bundled model it also compares the object's path, speed and growth and, with --prompt, checks whether the video
shows what was asked for. With --without (the same prompt and seed, generated without the motion) it measures how much
of the reference's look leaked.

example:
  motion-inversion evaluate reference.mp4 with_motion.mp4 --prompt "a red star on a grey plain background" """

from __future__ import annotations

import argparse
from typing import Any

import torch

from ..errors import MotionError
from ..video.limits import Limit
from .common import add_clip_arguments, add_json, clip_options, show

MEASURED = Limit(frames=512, pixels=1 << 25)  # 81 frames of 832×480; what compares tracks grows with their length


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REFERENCE", help="The video whose motion was learned.")
    parser.add_argument("generated", metavar="GENERATED", help="The video that should move like it.")
    parser.add_argument(
        "--without", metavar="VIDEO", help="A video of the same prompt and seed, generated without the motion."
    )
    parser.add_argument(
        "--prompt", help="What the generated video should show, in the words of the bundled model's captions."
    )
    parser.add_argument(
        "--tracker",
        default="lucas_kanade",
        help="lucas_kanade, or cotracker:FILE with the weights of CoTracker (default: lucas_kanade).",
    )
    parser.add_argument(
        "--text-model", metavar="FOLDER", help="A CLIP model, which adds the similarity of text and frames."
    )
    add_clip_arguments(parser, otherwise="as the videos are")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    from ..video import read_clip

    names = [name for name in (options.reference, options.generated, options.without) if name is not None]
    chosen = clip_options(options)
    clips = [read_clip(name, chosen, min_frames=2, limit=MEASURED).frames for name in names]
    scores = compare(*clips, prompt=options.prompt, tracker=options.tracker)
    if options.text_model:
        scores |= similarities(clips[1], options.prompt, options.text_model)
    show(scores, options.json, (f"{key}: {_text(value)}" for key, value in scores.items()))


def compare(
    reference: torch.Tensor,
    generated: torch.Tensor,
    without: torch.Tensor | None = None,
    prompt: str | None = None,
    tracker: str = "lucas_kanade",
) -> dict[str, Any]:
    """Every score that these clips, uint8 `[f, h, w, 3]`, allow; NaN where there is nothing to compare."""
    from ..camera.measure import camera_of_tracks
    from ..camera.trackers import track
    from ..metrics.camera import camera_error
    from ..metrics.captions import caption_accuracy, object_path
    from ..metrics.consistency import warp_error
    from ..metrics.fidelity import fidelity_of_tracks
    from ..metrics.leak import appearance_leak, sprite_regions, whole_frame
    from ..metrics.paths import path_correlation, speed_error
    from ..metrics.pose import object_size
    from ..sprites import parse_caption

    if len(reference) != len(generated):
        raise MotionError(
            f"The reference has {len(reference)} frames and the generated video has "
            f"{len(generated)}: compare equal numbers."
        )
    tracks = [track(clip, tracker) for clip in (reference, generated)]
    fidelity = fidelity_of_tracks(*tracks)
    camera = camera_error(*map(camera_of_tracks, tracks))
    paths = [object_path(clip).points for clip in (reference, generated)]
    scores: dict[str, Any] = {
        "motion_fidelity": fidelity.score,
        "moving_tracks": [fidelity.moving_reference, fidelity.moving_output],
        "path_correlation": path_correlation(*paths),
        "speed_error": speed_error(paths[1], paths[0]),
        "size_correlation": path_correlation(*(object_size(clip)[:, None] for clip in (reference, generated))),
        "camera_correlation": camera.correlation,
        "camera_error": camera.error,
        "warp_error": warp_error(generated).error,
    }
    if prompt:
        scores["caption"] = caption_accuracy(generated, prompt).middle_frame
    if without is not None:
        regions = sprite_regions if prompt and parse_caption(prompt).shape else whole_frame
        scores["appearance_leak"] = appearance_leak(reference, generated, without, regions).score
    return scores


def similarities(generated: torch.Tensor, prompt: str | None, folder: str) -> dict[str, float]:
    """What a CLIP says of a video: does it show its prompt, and do its frames stay alike?"""
    from ..metrics.clip import load_clip, neighbour_similarity, text_similarity

    clip = load_clip(folder)
    features = clip.image_features(generated)
    text = {} if prompt is None else {"text_similarity": text_similarity(features, clip.text_features(prompt))}
    return {**text, "neighbour_similarity": neighbour_similarity(features)}


def object_path_correlation(reference: torch.Tensor, generated: torch.Tensor) -> float:
    """Of the paths of the one vivid object in each clip, NaN where there is none."""
    from ..metrics.captions import object_path
    from ..metrics.paths import path_correlation

    return path_correlation(object_path(reference).points, object_path(generated).points)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
