"""Motions made of motions."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io
from torch import Tensor

from ..motion_lib.method import algebra, joining
from ..motion_lib.method.embedding import MotionEmbedding
from ..motion_lib.method.latent_edits import edited_like
from ..motion_lib.method.placement import placed
from ..motion_lib.video.place import Place
from .camera import as_videos, formed
from .checks import checked
from .host.images import frames_of
from .schema import MotionEmbeddingType, advanced, schema

UNCHANGED = "none"
METHODS = {
    "blend": lambda a, b, weight: joining.blend(a, b, weight),
    "add": lambda a, b, weight: joining.add(a, b),
    "subtract": lambda a, b, weight: joining.subtract(a, b),
    "A, then B": lambda a, b, weight: joining.chain(a, b),
    "query-key of A, value of B": lambda a, b, weight: joining.combine(a, b),
}


class EditMotionEmbedding(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "EditEmbedding",
            display_name="Edit Motion Embedding",
            description="Mirrors, reverses, speeds up, loops or weakens a learned motion, or keeps it to a region. The "
            "changes are made in the order of the inputs.",
            search_aliases=["flip motion", "reverse motion", "motion speed", "loop motion", "regional motion"],
            inputs=[
                MotionEmbeddingType.Input(
                    "motion_embedding", tooltip="The motion, from Train Motion Embedding or Load Motion Embedding."
                ),
                io.Combo.Input(
                    "mirror",
                    options=[UNCHANGED, *algebra.MIRRORS],
                    default=UNCHANGED,
                    tooltip="horizontal swaps left and right, vertical swaps top and bottom.",
                ),
                io.Boolean.Input("reverse", default=False, tooltip="Plays the motion backwards."),
                io.Float.Input(
                    "speed",
                    default=1.0,
                    min=0.1,
                    max=10.0,
                    step=0.05,
                    tooltip="2 runs through the motion in half the video and then holds its end; 0.5 shows only its "
                    "first half, in slow motion.",
                ),
                io.Combo.Input(
                    "loop",
                    options=[UNCHANGED, *algebra.LOOPS],
                    default=UNCHANGED,
                    tooltip="there_and_back plays the motion forwards and then backwards. close removes the drift of a "
                    "motion that nearly comes back to where it began.",
                ),
                io.Float.Input(
                    "factor",
                    default=1.0,
                    min=-4.0,
                    max=4.0,
                    step=0.05,
                    tooltip="Multiplies the strength of the motion. To turn a motion around, use mirror or reverse.",
                ),
                io.Mask.Input(
                    "region",
                    optional=True,
                    tooltip="A mask over the whole picture that says where the motion acts; it may have soft edges.",
                ),
                io.Latent.Input(
                    "inverted_noise",
                    optional=True,
                    tooltip="The noise of the motion's clip, from Invert Video to Noise. It is changed in the same "
                    "way, so that it does not pull back towards the unedited motion.",
                ),
                advanced(
                    io.Float,
                    "right",
                    default=0.0,
                    min=-1.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Moves the motion to the right by this share of the picture's width; below 0 to the left.",
                ),
                advanced(
                    io.Float,
                    "down",
                    default=0.0,
                    min=-1.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Moves the motion down by this share of the picture's height; below 0 up.",
                ),
                advanced(
                    io.Float,
                    "zoom",
                    default=1.0,
                    min=0.1,
                    max=10.0,
                    step=0.05,
                    tooltip="Spreads the motion over a larger part of the picture, about its middle, or a smaller one.",
                ),
                io.Mask.Input(
                    "object_mask",
                    optional=True,
                    tooltip="Where the thing is that is to move in the picture your video begins with: paint it in "
                    "the mask editor. The motion is moved there from where its own thing is in the clip.",
                ),
                io.Image.Input(
                    "clip",
                    optional=True,
                    tooltip="The clip that the motion was learned from, for object_mask: its first frame says from "
                    "where the motion is moved. Files that motion-inversion train has written say it themselves.",
                ),
            ],
            outputs=[
                MotionEmbeddingType.Output(
                    display_name="motion_embedding",
                    tooltip="The new motion, for Apply Motion Embedding, or for Save Motion Embedding to share it.",
                ),
                io.Latent.Output(
                    display_name="inverted_noise", tooltip="The noise of the new motion, for Mix Inversion Noise."
                ),
            ],
        )

    @classmethod
    @checked
    def execute(
        cls,
        motion_embedding: MotionEmbedding,
        mirror: str,
        reverse: bool,
        speed: float,
        loop: str,
        factor: float,
        region=None,
        inverted_noise: dict | None = None,
        right: float = 0.0,
        down: float = 0.0,
        zoom: float = 1.0,
        object_mask=None,
        clip=None,
    ) -> io.NodeOutput:
        # A history of its own, for the noise is that of the motion as it came.
        earlier = motion_embedding.origin.made_from
        edited = replace(motion_embedding, origin=replace(motion_embedding.origin, made_from=()))
        if mirror != UNCHANGED:
            edited = algebra.mirror(edited, mirror)
        if reverse:
            edited = algebra.reverse(edited)
        if speed != 1:
            edited = algebra.retime(edited, speed)
        if loop != UNCHANGED:
            edited = algebra.loop(edited, loop)
        if factor != 1:
            edited = algebra.scale(edited, factor)
        if region is not None:
            edited = algebra.masked(edited, as_mask(region))
        if (right, down, zoom) != (0, 0, 1):
            edited = algebra.place(edited, right, down, zoom)
        if object_mask is not None:
            begin = () if clip is None else Place.of_moving(frames_of(clip))
            edited = placed(edited, Place.of(as_mask(object_mask)), begin)
        if inverted_noise is not None:
            noise = inverted_noise["samples"]
            frames = formed(edited_like(edited, as_videos(noise)), noise)
            inverted_noise = {**inverted_noise, "samples": frames.contiguous()}
        origin = replace(edited.origin, made_from=(*earlier, *edited.origin.made_from))
        return io.NodeOutput(replace(edited, origin=origin), inverted_noise)


def as_mask(mask: Tensor) -> Tensor:
    """The first of a MASK's pictures, `[h, w]`."""
    return mask.reshape(-1, *mask.shape[-2:])[0].float().cpu()


class CombineMotionEmbeddings(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "CombineEmbeddings",
            display_name="Combine Motion Embeddings",
            description="Makes one motion out of two that were trained for the same kind of model.",
            search_aliases=["blend motions", "merge motions", "motion arithmetic", "camera and object"],
            inputs=[
                MotionEmbeddingType.Input("a", tooltip="The first motion."),
                MotionEmbeddingType.Input("b", tooltip="The second motion; it is fitted to the frames and grids of A."),
                io.Combo.Input(
                    "method",
                    options=list(METHODS),
                    default=next(iter(METHODS)),
                    tooltip="blend lies between the two motions, add does both at once, and subtract is A without B. "
                    "A, then B does one after the other, in as many frames as both have. The last method takes the "
                    "timing of A and the places of B.",
                ),
                io.Float.Input(
                    "weight",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Where a blend lies: 0 is A, 1 is B. The other methods ignore it.",
                ),
            ],
            outputs=[
                MotionEmbeddingType.Output(
                    display_name="motion_embedding",
                    tooltip="The new motion, for Apply Motion Embedding, or for Save Motion Embedding to share it.",
                )
            ],
        )

    @classmethod
    @checked
    def execute(cls, a: MotionEmbedding, b: MotionEmbedding, method: str, weight: float) -> io.NodeOutput:
        return io.NodeOutput(METHODS[method](a, b, weight))
