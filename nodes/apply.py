"""Giving a motion embedding to a MODEL."""

from __future__ import annotations

from comfy_api.latest import io

from ..motion_lib.curves import parse_curve
from ..motion_lib.describe import usual_patch
from ..motion_lib.embedding import MotionEmbedding
from ..motion_lib.patch import DEBIAS, MotionPatch
from ..motion_lib.presets import PRESETS
from .checks import checked
from .host.denoiser import backbone_of
from .host.patch import AppliedPatch, with_patch
from .schema import MotionEmbeddingType, advanced, in_order, schema

USUAL = PRESETS["object"]  # whose way of applying the advanced node begins with
STRENGTH = {"default": 1.0, "min": -4.0, "max": 4.0, "step": 0.05}
MODEL_TIP = "A MODEL from Load Motion Video Model, with or without LoRA or other motion embeddings."
EMBEDDING_TIP = "From Train Motion Embedding or Load Motion Embedding."


def patched(model, patch: MotionPatch):
    """A clone of the MODEL with one more motion patch; raises MotionError when the embedding does not fit it."""
    patch.embedding.check_fits(backbone_of(model))
    clone = model.clone()
    options = clone.model_options
    clone.model_options = {
        **options,
        "transformer_options": with_patch(options.get("transformer_options", {}), AppliedPatch(patch)),
    }
    return clone


class ApplyMotionEmbedding(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "Apply",
            display_name="Apply Motion Embedding",
            description="Videos sampled with the resulting MODEL move like the clip that the embedding was trained on. "
            "How the embedding acts follows what its file says: the preset it was trained with.",
            search_aliases=["motion transfer", "motion inversion", "motion lora"],
            inputs=[
                io.Model.Input("model", tooltip=MODEL_TIP),
                MotionEmbeddingType.Input("motion_embedding", tooltip=EMBEDDING_TIP),
                io.Float.Input(
                    "strength",
                    **STRENGTH,
                    tooltip="How strongly the motion acts: 1 as trained, 0 not at all, bit for bit.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="For KSampler or CFGGuider.")],
        )

    @classmethod
    @checked
    def execute(cls, model, motion_embedding: MotionEmbedding, strength: float) -> io.NodeOutput:
        return io.NodeOutput(patched(model, usual_patch(motion_embedding, strength)))


class ApplyMotionEmbeddingAdvanced(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "ApplyAdvanced",
            display_name="Apply Motion Embedding (Advanced)",
            description="The same with every strength, the debiasing, the part of sampling and the layers to choose.",
            search_aliases=["motion transfer", "motion inversion", "motion strength", "debias"],
            inputs=[
                io.Model.Input("model", tooltip=MODEL_TIP),
                MotionEmbeddingType.Input("motion_embedding", tooltip=EMBEDDING_TIP),
                io.Float.Input(
                    "strength_qk",
                    **STRENGTH,
                    tooltip="Of the query-key embedding, which holds no appearance: when things move. 1 as trained.",
                ),
                io.Float.Input(
                    "strength_v",
                    **STRENGTH,
                    tooltip="Of the value embedding: where things move. Lower it when the reference's look shows. "
                    "0 leaves it out: no look can come along, and the motion is weaker.",
                ),
                io.Combo.Input(
                    "debias",
                    options=list(DEBIAS),
                    default=USUAL.debias,
                    tooltip="What is taken out of the value embedding against leaking appearance. vanilla: nothing, as "
                    "the preset camera does; normalize: its mean over frames; difference: all that does not change "
                    "from frame to frame, as hybrid does (difference3 and difference5: against the mean of the 2 and 4 "
                    "frames before). object is learned debiased and applied vanilla.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Where in sampling the motion begins to act: 0 is pure noise. Motion is decided early.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=USUAL.end,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Where it stops; the later steps are left to the prompt alone. The preset camera uses 1.",
                ),
                advanced(
                    io.String,
                    "sites",
                    default="",
                    tooltip="Layers that act, of those that were trained: empty for all, coarse, coarse_up, deep, or "
                    "a comma-separated list of names and patterns such as up_blocks.1.*",
                ),
                advanced(
                    io.String,
                    "strength_curve",
                    default="",
                    tooltip="Factors on both strengths over sampling, as position:factor pairs from 0 to 1: "
                    "0:1, 0.5:0.2 fades the motion out. Empty for none.",
                ),
                advanced(
                    io.String,
                    "frame_curve",
                    default="",
                    tooltip="The same over the frames of the video: 0:0, 0.5:1 lets the motion set in.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="For KSampler or CFGGuider.")],
        )

    @classmethod
    def validate_inputs(cls, start_percent: float | None = 0.0, end_percent: float | None = 1.0) -> bool | str:
        return in_order(start_percent, end_percent)

    @classmethod
    @checked
    def execute(
        cls,
        model,
        motion_embedding: MotionEmbedding,
        strength_qk: float,
        strength_v: float,
        debias: str,
        start_percent: float,
        end_percent: float,
        sites: str = "",
        strength_curve: str = "",
        frame_curve: str = "",
    ) -> io.NodeOutput:
        if sites.strip():
            motion_embedding = motion_embedding.only(sites.strip())
        patch = MotionPatch(
            motion_embedding,
            strength_qk,
            strength_v,
            debias,
            start_percent,
            end_percent,
            parse_curve("strength_curve", strength_curve),
            parse_curve("frame_curve", frame_curve),
        )
        return io.NodeOutput(patched(model, patch))
