"""How well the motion was transferred."""

from __future__ import annotations

import math

import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image, ImageDraw

from ..motion_lib.camera.measure import camera_of_tracks
from ..motion_lib.camera.trackers import track
from ..motion_lib.camera.tracks import Tracks
from ..motion_lib.errors import MotionError
from ..motion_lib.metrics.camera import camera_error
from ..motion_lib.metrics.captions import caption_accuracy, object_path
from ..motion_lib.metrics.fidelity import fidelity_of_tracks
from ..motion_lib.metrics.leak import appearance_leak
from ..motion_lib.metrics.paths import path_correlation
from ..motion_lib.video import side_by_side
from .checks import checked
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
            "side, and scores how alike the points, the camera and the object move.",
            search_aliases=["motion fidelity", "compare videos", "side by side", "tracks", "score"],
            is_output_node=True,
            hidden=[NODE_ID],
            inputs=[
                io.Image.Input("reference", tooltip="Frames of the reference clip."),
                io.Image.Input(
                    "generated", tooltip="Frames of a clip that should move like the reference, and as many."
                ),
                io.Image.Input(
                    "without",
                    optional=True,
                    tooltip="Frames sampled with the same prompt and seed but without the motion, to measure how much "
                    "of the reference's look came along.",
                ),
                io.String.Input(
                    "prompt",
                    optional=True,
                    default="",
                    tooltip="What the generated clip should show, in the words of sprite_t2v's captions.",
                ),
                advanced(
                    io.Boolean,
                    "draw_tracks",
                    default=True,
                    tooltip="Draws the points that were followed over both clips.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="side_by_side", tooltip="Both clips with their tracks, for Create Video."),
                io.String.Output(display_name="report", tooltip="The scores, in words."),
            ],
        )

    @classmethod
    @checked
    def execute(cls, reference, generated, without=None, prompt: str = "", draw_tracks: bool = True) -> io.NodeOutput:
        clips = [frames_of(reference), frames_of(generated)]
        if len(clips[0]) != len(clips[1]):
            raise MotionError(
                f"reference has {len(clips[0])} frames and generated has {len(clips[1])}: give both the same number."
            )
        try:
            tracks = [track(clip) for clip in clips]
        except MotionError as error:  # without OpenCV the clips can still be seen side by side
            shown, lines = clips, [str(error)]
        else:
            lines = [*fidelity_lines(*tracks), camera_line(*tracks)]
            shown = [drawn(*pair) for pair in zip(clips, tracks, strict=True)] if draw_tracks else clips
        lines.append(path_line(*clips))
        if without is not None:
            lines.append(leak_line(*clips, frames_of(without)))
        if prompt.strip():
            lines.append(caption_line(clips[1], prompt))
        text = "\n".join(lines)
        both = side_by_side(shown, ["reference", "generated"])
        return io.NodeOutput(images_of(both), text, ui=say(cls, text))


def score(name: str, value: float, meaning: str, reason: str) -> str:
    """A line of the report; reason: why there is no value, where there is none."""
    return f"{name} – ({reason})" if math.isnan(value) else f"{name} {value:.2f} ({meaning})"


def fidelity_lines(reference: Tracks, generated: Tracks) -> list[str]:
    found = fidelity_of_tracks(reference, generated)
    return [
        score(
            "Motion fidelity",
            found.score,
            "1 moves the same way, 0 unrelated, -1 the opposite",
            "too little moves in one of the clips",
        ),
        f"{found.moving_reference} moving points in the reference, {found.moving_output} in the generated clip; "
        f"{found.still_reference} and {found.still_output} stand still.",
    ]


def camera_line(reference: Tracks, generated: Tracks) -> str:
    found = camera_error(camera_of_tracks(reference), camera_of_tracks(generated))
    reason = "one of the cameras stands still" if found.steps else "there is no background that could be followed"
    return score("Camera correlation", found.correlation, f"over {found.steps} steps between frames", reason)


def path_line(reference: torch.Tensor, generated: torch.Tensor) -> str:
    """Of the vivid object, which clips of sprite_t2v have and most others have not."""
    paths = [object_path(clip) for clip in (reference, generated)]
    seen = all(path.missing < len(path.points) for path in paths)
    return score(
        "Path correlation",
        path_correlation(paths[0].points, paths[1].points),
        "of the most colourful thing",
        "it stands still in one of the clips" if seen else "one of the clips shows no colourful thing",
    )


def leak_line(reference: torch.Tensor, generated: torch.Tensor, without: torch.Tensor) -> str:
    return score(
        "Appearance leak",
        appearance_leak(reference, generated, without).score,
        "0 none of the reference's colour, 1 all of it",
        "the reference has the colour that the clip has without the motion",
    )


def caption_line(generated: torch.Tensor, prompt: str) -> str:
    found = caption_accuracy(generated, prompt).middle_frame
    words = ", ".join(f"{kind} {'right' if right else 'wrong'}" for kind, right in found.items())
    return f"Prompt, middle frame: {words or 'it names nothing that can be checked'}"


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
