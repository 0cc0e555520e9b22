"""How well the motion was transferred."""

from __future__ import annotations

import math

import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image, ImageDraw

from ..motion_lib.errors import MotionError
from ..motion_lib.metrics.fidelity import fidelity_of_tracks
from ..motion_lib.metrics.trackers import Tracks, track
from ..motion_lib.video import side_by_side
from .host.images import frames_of, images_of
from .host.shown import NODE_ID, say
from .schema import advanced, schema

TRAIL = 8  # frames of a track that are drawn behind its point
SHOWN_TRACKS = 40


class MotionReport(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "Report",
            display_name="Motion Report",
            description="Follows points through the reference and a generated clip, draws them over both, side by "
            "side, and scores how alike they move. Needs OpenCV for the tracks (pip install opencv-python-headless).",
            search_aliases=["motion fidelity", "compare videos", "side by side", "tracks", "score"],
            is_output_node=True,
            hidden=[NODE_ID],
            inputs=[
                io.Image.Input("reference", tooltip="Frames of the reference clip."),
                io.Image.Input("generated", tooltip="As many frames of a clip that should move like it."),
                advanced(
                    io.Boolean,
                    "draw_tracks",
                    default=True,
                    tooltip="Draw the points that were followed over both clips.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="side_by_side", tooltip="Both clips with their tracks, for Create Video."),
                io.String.Output(display_name="report", tooltip="The score, in words."),
            ],
        )

    @classmethod
    def execute(cls, reference, generated, draw_tracks: bool = True) -> io.NodeOutput:
        clips = [frames_of(reference), frames_of(generated)]
        if len(clips[0]) != len(clips[1]):
            raise MotionError(
                f"reference has {len(clips[0])} frames and generated has {len(clips[1])}: give as many of both."
            )
        try:
            tracks = [track(clip) for clip in clips]
        except MotionError as error:  # without OpenCV the clips can still be seen side by side
            shown, text = clips, str(error)
        else:
            text = verdict(*tracks)
            shown = [drawn(*pair) for pair in zip(clips, tracks, strict=True)] if draw_tracks else clips
        both = side_by_side(shown, ["reference", "generated"])
        return io.NodeOutput(images_of(both), text, ui=say(cls, text))


def verdict(reference: Tracks, generated: Tracks) -> str:
    found = fidelity_of_tracks(reference, generated)
    counts = (
        f"{found.moving_reference} moving points in the reference, {found.moving_output} in the generated clip; "
        f"{found.still_reference} and {found.still_output} stand still."
    )
    if math.isnan(found.score):
        return f"Motion fidelity cannot be told: too little moves in one of the clips.\n{counts}"
    return f"Motion fidelity {found.score:.2f} (1 moves the same way, 0 unrelated, -1 the opposite).\n{counts}"


def drawn(clip: torch.Tensor, tracks: Tracks) -> torch.Tensor:
    """uint8 `[f, h, w, 3]` with the last positions of up to SHOWN_TRACKS points in every frame."""
    step = max(1, len(tracks) // SHOWN_TRACKS)
    points, visible = tracks.points[::step].tolist(), tracks.visible[::step].tolist()
    pictures = []
    for frame, image in enumerate(clip.numpy()):
        picture = Image.fromarray(image)
        draw = ImageDraw.Draw(picture)
        for index, (path, seen) in enumerate(zip(points, visible, strict=True)):
            trail = [tuple(path[i]) for i in range(max(0, frame - TRAIL), frame + 1) if seen[i]]
            hue = f"hsl({index * 137 % 360}, 90%, 60%)"
            if len(trail) > 1:
                draw.line(trail, fill=hue, width=1)
            if seen[frame]:
                x, y = path[frame]
                draw.ellipse((x - 1, y - 1, x + 1, y + 1), fill=hue)
        pictures.append(np.asarray(picture))
    return torch.from_numpy(np.stack(pictures))
