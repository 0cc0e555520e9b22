"""Motions made of motions."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ..motion_lib.method import algebra
from ..motion_lib.method.embedding import MotionEmbedding
from ..motion_lib.method.latent_edits import edited_like
from .camera import as_videos, formed
from .checks import checked
from .schema import MotionEmbeddingType, schema

UNCHANGED = "none"
METHODS = {
    "blend": lambda a, b, weight: algebra.blend(a, b, weight),
    "add": lambda a, b, weight: algebra.add(a, b),
    "subtract": lambda a, b, weight: algebra.subtract(a, b),
    "query-key of A, value of B": lambda a, b, weight: algebra.combine(a, b),
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
            edited = algebra.masked(edited, region.reshape(-1, *region.shape[-2:])[0].float().cpu())
        if inverted_noise is not None:
            noise = inverted_noise["samples"]
            frames = formed(edited_like(edited, as_videos(noise)), noise)
            inverted_noise = {**inverted_noise, "samples": frames.contiguous()}
        origin = replace(edited.origin, made_from=(*earlier, *edited.origin.made_from))
        return io.NodeOutput(replace(edited, origin=origin), inverted_noise)


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
                    "The last method takes the timing of A and the places of B.",
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
