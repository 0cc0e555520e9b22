"""Reference clips: some come with the pack, and any other clip is made to fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from comfy_api.latest import InputImpl, io
from PIL import Image
from torch import Tensor

from ..motion_lib.errors import MotionError, shown
from ..motion_lib.help import help_of
from ..motion_lib.video import ClipOptions, check_clip, select_indices
from ..motion_lib.video.limits import KEPT, is_rate
from ..motion_lib.video.look import IN_PIECES, LOOKS, in_look, in_pieces, look_help
from ..motion_lib.video.read import resized
from .checks import checked
from .host.folders import SAMPLES
from .host.images import frames_of, images_of
from .host.shown import NODE_ID, say
from .schema import advanced, schema

HELP = help_of(ClipOptions)


def sample_clips() -> list[str]:
    return sorted(f.name for f in SAMPLES.glob("*.mp4"))


def sample_clip(name: str) -> Path:
    """Raises MotionError for any other name: ComfyUI does not check a string that comes from another node, and this one
    may be the path of any file."""
    if name not in sample_clips():
        raise MotionError(f"There is no sample clip {shown(name)}: choose one of {', '.join(sample_clips())}.")
    return SAMPLES / name


class SampleClip(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "SampleClip",
            display_name="Sample Reference Clip",
            description="Gives a short clip that comes with the pack. To use your own clip, replace this node with "
            "Load Video.",
            search_aliases=["example video", "demo clip"],
            inputs=[
                io.Combo.Input("clip", options=sample_clips(), tooltip="One of the clips that come with the pack.")
            ],
            outputs=[io.Video.Output(tooltip="The clip, for Prepare Reference Clip.")],
        )

    @classmethod
    def execute(cls, clip: str) -> io.NodeOutput:
        return io.NodeOutput(InputImpl.VideoFromFile(str(sample_clip(clip))))


class PrepareReferenceClip(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "PrepareClip",
            display_name="Prepare Reference Clip",
            description="Takes the frames that a model can use from a video or a batch of images, and reports what "
            "would make its motion hard to learn: cuts, stillness, repeated frames.",
            search_aliases=["resample video", "force_rate", "frame_load_cap", "clip doctor", "video frames"],
            hidden=[NODE_ID],
            inputs=[
                io.MultiType.Input(
                    "clip", types=[io.Video, io.Image], tooltip="The reference: a VIDEO, or its frames as IMAGE."
                ),
                io.Int.Input(
                    "frames",
                    default=16,
                    min=2,
                    max=512,
                    tooltip="How many frames to take; sprite_t2v and ModelScope were trained with 16, ZeroScope "
                    "with 24.",
                ),
                io.Int.Input(
                    "width", default=128, min=16, max=4096, step=8, tooltip="The width of the result in pixels."
                ),
                io.Int.Input(
                    "height", default=128, min=16, max=4096, step=8, tooltip="The height of the result in pixels."
                ),
                io.Float.Input(
                    "force_rate",
                    default=0.0,
                    min=0.0,
                    max=120.0,
                    step=1.0,
                    tooltip=f"{HELP['force_rate']} 8 suits most text-to-video models.",
                ),
                io.Int.Input("skip_first_frames", default=0, min=0, max=100_000, tooltip=HELP["skip_first_frames"]),
                io.Int.Input("select_every_nth", default=1, min=1, max=100, tooltip=HELP["select_every_nth"]),
                io.Combo.Input(
                    "fit",
                    options=["crop", "fit", "stretch"],
                    default="crop",
                    tooltip=HELP["fit"],
                ),
                advanced(
                    io.Float,
                    "image_rate",
                    default=8.0,
                    min=0.1,
                    max=240.0,
                    step=1.0,
                    tooltip="The frames per second of an IMAGE input, which does not hold that information.",
                ),
                advanced(io.Combo, "look", options=list(LOOKS), default=next(iter(LOOKS)), tooltip=look_help()),
                io.Mask.Input(
                    "moving",
                    optional=True,
                    tooltip="What moves, for a look other than as_it_is: one mask, or one for every frame of the "
                    "result. Without it, what differs from the still background is taken.",
                ),
            ],
            outputs=[
                io.Image.Output(tooltip="The frames, for VAE Encode."),
                io.Float.Output(
                    display_name="frame_rate", tooltip="The rate at which these frames play at the original speed."
                ),
                io.String.Output(display_name="report", tooltip="What was found in the clip."),
            ],
        )

    @classmethod
    @checked
    def execute(
        cls,
        clip,
        frames: int,
        width: int,
        height: int,
        force_rate: float,
        skip_first_frames: int,
        select_every_nth: int,
        fit: str,
        image_rate: float = 8.0,
        look: str = "as_it_is",
        moving: Tensor | None = None,
    ) -> io.NodeOutput:
        if isinstance(clip, torch.Tensor):
            source, rate = frames_of(clip), image_rate
        else:
            parts = clip.get_components()
            source, rate = frames_of(parts.images), float(parts.frame_rate)
        if not is_rate(rate):
            raise MotionError(
                f"The clip plays at {shown(rate)} frames per second, which is not a possible rate: give its frames as "
                "IMAGE, with the right image_rate."
            )
        options = ClipOptions(force_rate, frames, skip_first_frames, select_every_nth, width, height, fit)
        KEPT.check("The result", frames, width, height)
        chosen = select_indices([index / rate for index in range(len(source))], options)
        if len(chosen) < frames:
            raise MotionError(
                f"The clip has {len(source)} frames at {rate:g} per second, of which {len(chosen)} can be taken, but "
                f"frames is {frames}: use a longer clip, or lower frames, skip_first_frames or select_every_nth."
            )
        taken = [np.asarray(resized(Image.fromarray(source[i].numpy()), (width, height), fit)) for i in chosen]
        result = torch.from_numpy(np.stack(taken))
        report = check_clip(result)
        warnings = list(report.warnings())
        if look != "as_it_is" and moving is None and in_pieces(result):
            warnings.append(f"{IN_PIECES}connect a mask to moving.")
        result = in_look(result, look, None if moving is None else fitted(moving, height, width))
        out_rate = (force_rate or rate) / select_every_nth
        lines = [
            f"{len(chosen)} of {len(source)} frames ({chosen[0]} to {chosen[-1]}), {width}x{height}, {out_rate:g} per "
            f"second, {len(chosen) / out_rate:.1f} s.",
            *warnings,
        ]
        text = "\n".join(lines if warnings else [*lines, "Nothing here makes the motion hard to learn."])
        return io.NodeOutput(images_of(result), out_rate, text, ui=say(cls, text))


def fitted(masks: Tensor, height: int, width: int) -> Tensor:
    """`[n, height, width]`; a mask of another size is stretched to the frames of the result."""
    masks = masks.detach().reshape(-1, 1, *masks.shape[-2:]).float()
    return F.interpolate(masks, size=(height, width), mode="area")[:, 0]
