"""Loading a text-to-video model, or the bundled image model."""

from __future__ import annotations

from comfy_api.latest import io

from ..motion_lib.bundled.models import BUNDLED_IMAGES
from ..motion_lib.errors import MotionError, shown
from .host.folders import video_models
from .host.image_model import load_image_model
from .host.model import load_model
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
