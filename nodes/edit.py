"""Motions made of motions."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ..motion_lib import algebra
from ..motion_lib.embedding import MotionEmbedding
from ..motion_lib.follow import follow
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
            description="Mirrors, reverses, speeds up, loops or weakens a learned motion, or keeps it to a region. "
            "What is changed is done in the order of the inputs.",
            search_aliases=["flip motion", "reverse motion", "motion speed", "loop motion", "regional motion"],
            inputs=[
                MotionEmbeddingType.Input(
                    "motion_embedding", tooltip="From Train Motion Embedding or Load Motion Embedding."
                ),
                io.Combo.Input(
                    "mirror",
                    options=[UNCHANGED, *algebra.MIRRORS],
                    default=UNCHANGED,
                    tooltip="horizontal exchanges left and right, vertical top and bottom.",
                ),
                io.Boolean.Input("reverse", default=False, tooltip="The last frame first."),
                io.Float.Input(
                    "speed",
                    default=1.0,
                    min=0.1,
                    max=10.0,
                    step=0.05,
                    tooltip="2 runs through the motion in half the video and then holds; 0.5 shows its first half.",
                ),
                io.Combo.Input(
                    "loop",
                    options=[UNCHANGED, *algebra.LOOPS],
                    default=UNCHANGED,
                    tooltip="there_and_back: forwards, then backwards; close: takes out the drift, for motions that "
                    "nearly come back to where they began.",
                ),
                io.Float.Input(
                    "factor",
                    default=1.0,
                    min=-4.0,
                    max=4.0,
                    step=0.05,
                    tooltip="Times its strength. To turn a motion around, use mirror or reverse.",
                ),
                io.Mask.Input(
                    "region",
                    optional=True,
                    tooltip="Where the motion acts, over the whole picture; soft edges work.",
                ),
                io.Latent.Input(
                    "inverted_noise",
                    optional=True,
                    tooltip="From Invert Video to Noise: changed in the same way, so that it does not pull towards the "
                    "motion as it was.",
                ),
            ],
            outputs=[
                MotionEmbeddingType.Output(
                    display_name="motion_embedding", tooltip="For Apply Motion Embedding, or Save to share it."
                ),
                io.Latent.Output(display_name="inverted_noise", tooltip="For Mix Inversion Noise."),
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
        earlier = motion_embedding.details.get("made_from", [])
        edited = replace(motion_embedding, details={**motion_embedding.details, "made_from": []})
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
            frames = formed(follow(edited, as_videos(noise)), noise)
            inverted_noise = {**inverted_noise, "samples": frames.contiguous()}
        history = [*earlier, *edited.details["made_from"]]
        details = {**edited.details, "made_from": history} if history else motion_embedding.details
        return io.NodeOutput(replace(edited, details=details), inverted_noise)


class CombineMotionEmbeddings(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "CombineEmbeddings",
            display_name="Combine Motion Embeddings",
            description="One motion out of two that were trained for the same kind of model.",
            search_aliases=["blend motions", "merge motions", "motion arithmetic", "camera and object"],
            inputs=[
                MotionEmbeddingType.Input("a", tooltip="One motion."),
                MotionEmbeddingType.Input("b", tooltip="The other; it is fitted to the frames and grids of A."),
                io.Combo.Input(
                    "method",
                    options=list(METHODS),
                    default=next(iter(METHODS)),
                    tooltip="blend: between the two; add: both at once; subtract: A without B; the last takes the "
                    "timing of A and the places of B.",
                ),
                io.Float.Input(
                    "weight",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Of a blend: 0 is A, 1 is B. The other methods have no use for it.",
                ),
            ],
            outputs=[
                MotionEmbeddingType.Output(
                    display_name="motion_embedding", tooltip="For Apply Motion Embedding, or Save to share it."
                )
            ],
        )

    @classmethod
    @checked
    def execute(cls, a: MotionEmbedding, b: MotionEmbedding, method: str, weight: float) -> io.NodeOutput:
        return io.NodeOutput(METHODS[method](a, b, weight))
