"""Loading a text-to-video model, the bundled image model, or a bundled model's text encoder alone."""

from __future__ import annotations

from comfy_api.latest import io

from ..motion_lib.bundled.models import BUNDLED, BUNDLED_IMAGES
from ..motion_lib.errors import MotionError, shown
from .host.folders import video_models
from .host.image_model import load_image_model
from .host.model import load_model, load_text
from .schema import schema


class LoadMotionVideoModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "LoadModel",
            display_name="Load Motion Video Model",
            description="Loads a text-to-video model whose temporal layers can take a motion embedding, or a small "
            "image model to try Temporal Momentum Attention with.",
            search_aliases=[
                "zeroscope",
                "modelscope",
                "text to video loader",
                "sprite_t2v",
                "sprite_image",
                "diffusers",
            ],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=[*video_models(), *BUNDLED_IMAGES],
                    tooltip="sprite_t2v comes with the pack, makes 16 frames of 128x128 and runs on a CPU. The others "
                    "are folders in diffusers layout inside models/diffusers, such as ZeroScope v2. sprite_image comes "
                    "with the pack as well and makes pictures: it is for Temporal Momentum Attention, not for motion "
                    "embeddings.",
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="The denoising model, for every node that takes a MODEL."),
                io.Clip.Output(tooltip="Its text encoder, for CLIP Text Encode."),
                io.Vae.Output(tooltip="Its autoencoder, for VAE Encode and VAE Decode."),
            ],
        )

    @classmethod
    def execute(cls, model: str) -> io.NodeOutput:
        if model in BUNDLED_IMAGES:
            return io.NodeOutput(*load_image_model(model))
        folder = video_models().get(model)
        if folder is None:
            raise MotionError(f"There is no model {shown(model)}: choose another, or put it into models/diffusers.")
        return io.NodeOutput(*load_model(folder))


class LoadMotionTextEncoder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "LoadText",
            display_name="Load Motion Text Encoder",
            description="Loads the text encoder of a model that comes with the pack, as Load CLIP does for others.",
            search_aliases=["sprite_wan", "sprite_t2v", "load clip"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=list(BUNDLED),
                    default="sprite_wan",
                    tooltip="sprite_wan's other parts are in the lists of Load Diffusion Model and Load VAE. "
                    "Load Motion Video Model loads sprite_t2v with its text encoder.",
                ),
            ],
            outputs=[io.Clip.Output(tooltip="The text encoder, for CLIP Text Encode.")],
        )

    @classmethod
    def execute(cls, model: str) -> io.NodeOutput:
        if model not in BUNDLED:
            raise MotionError(f"No model {shown(model)} comes with the pack: choose one of {', '.join(BUNDLED)}.")
        return io.NodeOutput(load_text(BUNDLED[model][0]))
