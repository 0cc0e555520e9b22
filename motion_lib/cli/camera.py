"""The camera of one clip for another video, as `generate` gives it."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from ..camera.alignment import CameraAlignment, apart_from_camera
from ..camera.path import AMOUNT_HELP
from ..errors import MotionError
from ..help import help_of
from ..method.application import APPLICATIONS, Application
from ..method.records import Advice
from .common import clip_options

if TYPE_CHECKING:
    from torch import Tensor

    from ..backbones import VideoModel
    from ..camera.path import CameraPath
    from ..method.embedding import MotionEmbedding

MEASURED_AT = 256  # pixels of the shorter side, at least
ALONE = APPLICATIONS["camera"].camera_end  # where no embedding says otherwise
OBJECTS = APPLICATIONS["hybrid"].objects  # for an embedding that moves objects, under another clip's camera


def add_camera_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("camera (pan, tilt, zoom and roll, taken from a clip without any training)")
    group.add_argument(
        "--camera",
        metavar="VIDEO",
        help="The video whose camera moves the new one, with or without --motion. An embedding whose preset asks for a "
        "camera (camera, hybrid) otherwise takes that of --reference.",
    )
    group.add_argument("--camera-amount", type=float, default=1.0, help=f"{AMOUNT_HELP} (default: 1)")
    group.add_argument(
        "--camera-end",
        type=float,
        help=f"{help_of(Application)['camera_end']} (default: as the embedding's preset says, or {ALONE})",
    )


def path_in(options: argparse.Namespace, video: str, model: VideoModel) -> CameraPath:
    """The camera's path in a video, measured in pictures of the shape that is generated, large enough to be tracked."""
    from ..camera.measure import follow_camera
    from ..video import read_clip

    chosen = clip_options(options, model)
    larger = math.ceil(MEASURED_AT / min(chosen.width, chosen.height))
    wanted = replace(chosen, width=larger * chosen.width, height=larger * chosen.height)
    return follow_camera(read_clip(video, wanted, min_frames=2).frames)


def alignment_of(
    options: argparse.Namespace,
    embedding: MotionEmbedding | None,
    path: CameraPath,
    latents: Tensor | None = None,
    own: CameraPath | None = None,
) -> CameraAlignment:
    """How a video is held to the path. latents: of the embedding's own clip, to find what moves apart from its camera;
    own: the path of that, if `path` is from another clip."""
    end, objects = advice(embedding)
    objects = objects if end else OBJECTS
    end = options.camera_end if options.camera_end is not None else end or ALONE
    if not 0 <= end <= 1:
        raise MotionError(f"--camera-end is {end}, but it must lie from 0 to 1.")
    apart = None
    if embedding is not None and latents is not None and objects:
        apart = apart_from_camera(latents, own or path, objects)
    return CameraAlignment(path.scaled(options.camera_amount), end=end, apart=apart)


def path_or_still(options: argparse.Namespace, video: str, model: VideoModel, like: CameraPath) -> CameraPath:
    """The camera's path in a video, or that of one that stands still where no background can be followed."""
    try:
        return path_in(options, video, model)
    except MotionError:
        return like.scaled(0.0)


def advice(embedding: MotionEmbedding | None) -> tuple[float, float]:
    """camera_end and objects as the embedding's file says; 0 where it says nothing."""
    given = Advice() if embedding is None else embedding.advice
    return given.camera_end or 0.0, given.objects or 0.0
