"""Giving a motion embedding to a MODEL."""

from __future__ import annotations

from comfy_api.latest import io

from ..motion_lib.help import help_of
from ..motion_lib.method.application import APPLICATIONS, usual_patch
from ..motion_lib.method.curves import parse_curve
from ..motion_lib.method.embedding import MotionEmbedding
from ..motion_lib.method.patch import DEBIAS, MotionPatch
from .checks import checked
from .host.kinds import kind_of
from .host.patch import AppliedPatch, with_patch
from .host.wan import is_wan, let_patches_act
from .schema import MotionEmbeddingType, advanced, in_order, schema

HELP = help_of(MotionPatch)
USUAL = APPLICATIONS["object"]  # whose way of applying the advanced node begins with
STRENGTH = {"default": 1.0, "min": -4.0, "max": 4.0, "step": 0.05}
MODEL_TIP = (
    "A MODEL from Load Motion Video Model, or one of Wan 2.1 or 2.2 from any loader, with or without LoRAs and other "
    "motion embeddings."
)
EMBEDDING_TIP = "The motion, from Train Motion Embedding or Load Motion Embedding."


def patched(model, patch: MotionPatch):
    """A clone of the MODEL with one more motion patch; raises MotionError when the embedding does not fit it."""
    patch.embedding.check_fits(kind_of(model).backbone)
    clone = model.clone()
    options = with_patch(clone.model_options.get("transformer_options", {}), AppliedPatch(patch))
    if is_wan(clone):
        options = let_patches_act(options)
    clone.model_options = {**clone.model_options, "transformer_options": options}
    return clone


class ApplyMotionEmbedding(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "Apply",
            display_name="Apply Motion Embedding",
            description="Videos sampled with the resulting MODEL move like the clip that the embedding was trained on. "
            "Its file says how the embedding is applied, by the preset that it was trained with.",
            search_aliases=["motion transfer", "motion inversion", "motion lora"],
            inputs=[
                io.Model.Input("model", tooltip=MODEL_TIP),
                MotionEmbeddingType.Input("motion_embedding", tooltip=EMBEDDING_TIP),
                io.Float.Input(
                    "strength",
                    **STRENGTH,
                    tooltip="How strongly the motion acts: 1 is as trained, 0 is not at all, bit for bit.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The MODEL with the motion, for KSampler or CFGGuider.")],
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
            description="The same as Apply Motion Embedding, but you choose each strength, the debiasing, the part of "
            "sampling and the layers.",
            search_aliases=["motion transfer", "motion inversion", "motion strength", "debias"],
            inputs=[
                io.Model.Input("model", tooltip=MODEL_TIP),
                MotionEmbeddingType.Input("motion_embedding", tooltip=EMBEDDING_TIP),
                io.Float.Input(
                    "strength_qk",
                    **STRENGTH,
                    tooltip=HELP["strength_qk"],
                ),
                io.Float.Input(
                    "strength_v",
                    **STRENGTH,
                    tooltip=HELP["strength_v"],
                ),
                io.Combo.Input(
                    "debias",
                    options=list(DEBIAS),
                    default=USUAL.debias,
                    tooltip=HELP["debias"],
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=HELP["start"],
                ),
                io.Float.Input(
                    "end_percent",
                    default=USUAL.end,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=f"{HELP['end']} All presets use {USUAL.end:g}.",
                ),
                advanced(
                    io.String,
                    "sites",
                    default="",
                    tooltip="Which of the trained layers act. Leave it empty for all, or write coarse, coarse_up or "
                    "deep, for Wan early, middle or late, or a comma-separated list of names and patterns, such as "
                    "up_blocks.1.* for one block.",
                ),
                advanced(
                    io.String,
                    "strength_curve",
                    default="",
                    tooltip=f"{HELP['curve']} Leave it empty for none.",
                ),
                advanced(
                    io.String,
                    "frame_curve",
                    default="",
                    tooltip=f"{HELP['frame_curve']} Leave it empty for none.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The MODEL with the motion, for KSampler or CFGGuider.")],
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
